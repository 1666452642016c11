"""Descriptors: shapes, what they see and what they do not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.wbc.stores import blob, make_store
from wbc.descriptors import describe, descriptor


def test_every_cell_of_a_store_is_described_in_order(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"train": 2})
    found = describe(store, batch_size=3)
    assert found.shape == (10, 214) and np.isfinite(found).all()
    assert found[7] == pytest.approx(descriptor(store.read([7])[0]))


@pytest.mark.parametrize("turned", [np.rot90, np.flipud, np.fliplr])
def test_a_turned_cell_is_the_same_cell(turned: object) -> None:
    cell = blob(1, 0)
    assert descriptor(turned(cell)) == pytest.approx(descriptor(cell))  # type: ignore[operator]


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_have_descriptors(value: int) -> None:
    assert np.isfinite(descriptor(np.full((48, 48, 3), value, np.uint8))).all()


def test_middle_and_rim_are_told_apart() -> None:
    middle, rim = np.full((2, 64, 64, 3), 200, np.uint8)
    middle[24:40, 24:40], rim[:16, :16] = 60, 60
    assert np.abs(descriptor(middle) - descriptor(rim)).max() > 0.5


def test_histograms_count_colours_wherever_they_lie() -> None:
    cell = np.array(Image.fromarray(blob(1, 0)).resize((64, 64), Image.Resampling.BOX))
    order = np.random.default_rng(0).permutation(64 * 64)
    shuffled = cell.reshape(-1, 3)[order].reshape(64, 64, 3)
    assert descriptor(shuffled)[:172] == pytest.approx(descriptor(cell)[:172])
    assert descriptor(shuffled)[172:] != pytest.approx(descriptor(cell)[172:])
