"""The cells of the study: a division of PBC, its pictures in other laboratories, and real ones."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image

from benchmarks.class_folders import cell_table, shuffled
from benchmarks.generalisation.microscopes import LABORATORIES, seen_by
from wbc.params import KrdWbcSource, Preprocess
from wbc.pixels import PixelStore, open_store
from wbc.preprocessing import fill_store
from wbc.sources import krd_wbc

DIVISION = {"train": 0.6, "val": 0.1, "choose": 0.15, "test": 0.15}  # of each class
PART_OF_LABORATORIES = "choose"  # its cells are the ones that the simulated laboratories see


def divided(folder: Path, raw_dir: Path) -> pd.DataFrame:
    """The cells of a folder of class folders by a fixed draw, with the simulated laboratories'.

    Training knows only `train`; the epoch is chosen on `val`; variants are chosen on the
    laboratories that see the cells of `choose`; `test` is for the variant that was chosen.
    """
    (raw_dir / "plain").parent.mkdir(parents=True, exist_ok=True)
    if not (raw_dir / "plain").exists():
        (raw_dir / "plain").symlink_to(folder.resolve(), target_is_directory=True)
    rows = list(_divided(folder))
    chosen = [(path, label) for path, label, split in rows if split == PART_OF_LABORATORIES]
    seen = [
        (f"{name}/{path.removeprefix('plain/').rsplit('.', 1)[0]}.png", label, name, path, number)
        for name in LABORATORIES
        for number, (path, label) in enumerate(chosen)
    ]
    Parallel(n_jobs=-1)(
        delayed(_photograph)(raw_dir / path, name, raw_dir / origin, number)
        for path, _, name, origin, number in seen
        if not (raw_dir / path).is_file()
    )
    rows += [(path, label, name) for path, label, name, *_ in seen]
    return cell_table(rows)


def _divided(folder: Path) -> Iterator[tuple[str, str, str]]:
    for label, paths in shuffled(folder):
        ends = np.cumsum(list(DIVISION.values())) * len(paths)
        for position, path in enumerate(paths):
            split = list(DIVISION)[int(np.searchsorted(ends, position + 0.5))]
            yield f"plain/{path}", label, split


def _photograph(target: Path, laboratory: str, origin: Path, number: int) -> None:
    picture = np.asarray(Image.open(origin).convert("RGB"))
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_suffix(".half")
    Image.fromarray(seen_by(laboratory, picture, number)).save(half, "PNG", compress_level=1)
    half.rename(target)


def krd_wbc_cells(folder: Path, raw_dir: Path) -> pd.DataFrame:
    """KRD-WBC's cells as the set `krd-wbc`; the pictures are copied below `raw_dir`."""
    source = KrdWbcSource("krd-wbc", "krd-wbc", "external", str(folder.resolve()))
    rows = krd_wbc.fetch(source, raw_dir / "krd-wbc", Path())
    paths = [path if path.startswith("krd-wbc/") else f"krd-wbc/{path}" for path in rows["path"]]
    return cell_table(
        [(p, label, "krd-wbc") for p, label in zip(paths, rows["label"], strict=True)]
    )


def stored(cells: pd.DataFrame, raw_dir: Path, target: Path, settings: Preprocess) -> PixelStore:
    """The pixel store of the cells, made unless it is there."""
    if not target.is_dir():
        half = target.with_name(f"{target.name}-{os.getpid()}")  # others may be making it too
        fill_store(cells, raw_dir, half, settings)
        try:
            half.rename(target)
        except OSError:
            shutil.rmtree(half)
    return open_store(target)
