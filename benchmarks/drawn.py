"""Drawn cells of Raabin-WBC's size as JPEG files: what the measurements run on."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image

from wbc.cells import CLASSES
from wbc.params import Preprocess
from wbc.pixels import PixelStore, open_store
from wbc.preprocessing import fill_store
from wbc.sources.drawing import draw, smear_look
from wbc.sources.sample import FIRST_MICROSCOPE

SIDE = 575  # pixels, as in Raabin-WBC


def draw_cells(folder: Path, counts: dict[str, int], side: int = SIDE) -> pd.DataFrame:
    """`counts` cells for each split as SPLIT/CLASS/NUMBER.jpg, classes in turn; their table."""
    rows = [
        (f"{split}/{CLASSES[number % 5]}/{number}.jpg", CLASSES[number % 5], split)
        for split, count in counts.items()
        for number in range(count)
    ]
    drawn = (
        delayed(draw_cell)(folder / path, label, seed, side)
        for seed, (path, label, _) in enumerate(rows)
    )
    Parallel(n_jobs=-1)(drawn)
    table = pd.DataFrame(rows, columns=["path", "label", "split"])
    names = {"sha256": "", "group": "", "source": "drawn", "reason": "", "mask": ""}
    return table.assign(**names)


def fill(table: pd.DataFrame, folder: Path, target: Path, size: int, crop: str) -> PixelStore:
    settings = Preprocess(size, crop, 1.5, 0.0, 1024, "loky")  # type: ignore[arg-type]
    fill_store(table, folder, target, settings)
    return open_store(target)


def draw_cell(path: Path, label: str, seed: int, side: int = SIDE) -> None:
    """One cell as a JPEG file, the same for the same seed."""
    rng = np.random.default_rng(seed)
    look = smear_look(rng, FIRST_MICROSCOPE)
    pixels = draw(rng, label, side, look, FIRST_MICROSCOPE)
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=92)
    path.write_bytes(stream.getvalue())
