"""A small pixel store to train on: five kinds of blobs that a network can tell apart."""

from pathlib import Path

import numpy as np
import pandas as pd

from wbc.cells import CLASSES
from wbc.pixels import PixelStore, allocate, finish, open_store, write_cells

SIZE = 32


def blob(label: int, seed: int) -> np.ndarray:
    """A square whose colour and stripes depend on the class, with noise."""
    rng = np.random.default_rng((label, seed))
    y, x = np.mgrid[:SIZE, :SIZE]
    stripes = np.sin((label + 1) * (x if label % 2 else y) / 3)
    colours = np.array(
        [[200, 90, 90], [90, 200, 90], [90, 90, 200], [200, 200, 90], [90, 200, 200]]
    )
    picture = colours[label] * (0.8 + 0.2 * stripes[..., None]) + rng.normal(0, 12, (SIZE, SIZE, 3))
    return np.asarray(picture.clip(0, 255), np.uint8)


def make_store(folder: Path, counts: dict[str, int] | None = None) -> PixelStore:
    """`counts` cells of every class for each split; by default 8 train, 4 val and 3 test."""
    counts = counts or {"train": 8, "val": 4, "test": 3}
    rows = [
        (split, label, number)
        for split, count in counts.items()
        for label in range(len(CLASSES))
        for number in range(count)
    ]
    places = allocate(folder, len(rows), SIZE, shard_cells=16)
    pixels = (blob(label, number + 100 * len(split)) for split, label, number in rows)
    write_cells(folder, zip(places, pixels, strict=True))
    index = pd.DataFrame(
        {
            "path": [f"{split}/{CLASSES[label]}/{number}.png" for split, label, number in rows],
            "sha256": [f"{i:064x}" for i in range(len(rows))],
            "label": [CLASSES[label] for _, label, _ in rows],
            "group": "",
            "source": "blobs",
            "split": [split for split, _, _ in rows],
            "shard": [shard for shard, _ in places],
            "row": [row for _, row in places],
            "located": True,
        }
    )
    finish(folder, index, {"size": SIZE, "crop": "none", "context": 1.5})
    return open_store(folder)
