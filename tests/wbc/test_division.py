"""Holding out whole units."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from wbc.division import hold_out


def shares(held: NDArray[np.bool_], labels: NDArray[np.int64]) -> list[float]:
    return [float(held[labels == label].mean()) for label in range(labels.max() + 1)]


def test_units_stay_together_and_pinned_ones_stay() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        units = random.permutation(np.repeat(np.arange(30), random.integers(1, 9, 30)))
        _, units = np.unique(units, return_inverse=True)
        stays = random.random(30) < 0.2
        labels = random.integers(0, 4, len(units))
        held = hold_out(units, labels, 0.2, stays, seed)
        assert not held[stays[units]].any()
        assert all(len(set(held[units == unit])) == 1 for unit in range(30))


def test_loose_cells_are_held_out_to_the_cell() -> None:
    labels = np.repeat([0, 1, 2, 3], [100, 20, 7, 1])
    held = hold_out(np.arange(128), labels, 0.15, np.zeros(128, bool), 1)
    assert np.bincount(labels[held], minlength=4).tolist() == [15, 3, 1, 0]


def test_smears_are_chosen_for_the_rare_class() -> None:
    """Rare cells lie in three smears of twenty: one of these must go, wherever the draw began."""
    for seed in range(20):
        units = np.repeat(np.arange(20), 10)
        labels = ((units < 3) & (np.arange(200) % 10 < 4)).astype(np.int64)
        held = hold_out(units, labels, 0.2, np.zeros(20, bool), seed)
        assert shares(held, labels)[1] == pytest.approx(1 / 3)
        assert shares(held, labels)[0] == pytest.approx(0.2, abs=0.06)


def test_classes_of_two_smears_are_on_both_sides() -> None:
    """Five of them in ten of sixty smears: no draw does that, the moves after it must."""
    for seed in range(20):
        units = np.repeat(np.arange(60), 10)
        labels = np.where((units < 10) & (np.arange(600) % 10 < 3), 1 + units // 2, 0)
        held = hold_out(units, labels, 0.2, np.zeros(60, bool), seed)
        assert shares(held, labels)[1:] == [0.5] * 5
        assert shares(held, labels)[0] == pytest.approx(0.2, abs=0.06)


def test_a_class_in_one_unit_is_not_taken_from_training() -> None:
    for seed in range(20):
        units = np.repeat(np.arange(10), 10)
        labels = (units == 4).astype(np.int64)
        assert shares(hold_out(units, labels, 0.3, np.zeros(10, bool), seed), labels)[1] == 0


@pytest.mark.parametrize("num_cells", [0, 1, 2, 3])
def test_tiny_pools(num_cells: int) -> None:
    labels = np.zeros(num_cells, np.int64)
    held = hold_out(np.arange(num_cells), labels, 0.15, np.zeros(num_cells, bool), 1)
    assert held.sum() == (1 if num_cells > 1 else 0)
    together = hold_out(labels, labels, 0.15, np.zeros(min(num_cells, 1), bool), 1)
    assert not together.any()


def test_a_hundred_thousand_cells_in_seconds() -> None:
    random = np.random.default_rng(1)
    _, units = np.unique(random.integers(0, 20_000, 100_000), return_inverse=True)
    labels = random.integers(0, 5, 100_000)
    began = time.perf_counter()
    held = hold_out(units, labels, 0.15, np.zeros(units.max() + 1, bool), 1)
    assert time.perf_counter() - began < 10
    assert np.abs(np.array(shares(held, labels)) - 0.15).max() < 0.01
