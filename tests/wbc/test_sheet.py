"""The contact sheet: a row for each source and class, made of the store's own pixels."""

from pathlib import Path

import numpy as np

from tests.wbc.stores import make_store
from wbc.sheet import GAP, MARGIN, TILE, contact_sheet


def test_rows_are_sources_and_classes(tmp_path: Path) -> None:
    sheet = contact_sheet(make_store(tmp_path, {"train": 14, "val": 2, "blobs": 3}))
    assert sheet.height == 10 * (TILE + GAP)  # five classes trained on, five external
    pixels = np.asarray(sheet)
    last_column = pixels[:, -TILE:]
    assert (last_column[: 5 * (TILE + GAP)] < 250).any()  # 12 of 16 fill the row
    assert (last_column[5 * (TILE + GAP) :] == 255).all()  # 3 do not
    colours = [pixels[i * (TILE + GAP) + 40, MARGIN + 40] for i in range(5)]
    assert len({tuple(colour > colour.mean()) for colour in colours}) == 5


def test_the_same_store_gives_the_same_bytes(tmp_path: Path) -> None:
    sheets = [contact_sheet(make_store(tmp_path / name)).tobytes() for name in "ab"]
    assert sheets[0] == sheets[1]
