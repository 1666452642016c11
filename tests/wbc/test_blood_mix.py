"""Offsets that bring a folder's mix near that of blood."""

import numpy as np
import pytest
from numpy.typing import NDArray

from wbc.blood_mix import MIX, mix_of, offsets

NEUTROPHIL, LYMPHOCYTE, MONOCYTE, EOSINOPHIL, BASOPHIL = range(5)
Logits = NDArray[np.float64]


def folder(shares: NDArray[np.float64], sureness: float = 4.0, count: int = 400) -> Logits:
    """Logits of cells in these shares, each for its class, with some noise."""
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(5), np.round(shares * count).astype(int))
    return sureness * np.eye(5)[classes] + rng.normal(0, 1, (len(classes), 5))


def test_a_folder_of_blood_is_left_nearly_as_it_is() -> None:
    assert np.abs(offsets(folder(MIX))).max() < 0.15


def test_a_class_that_is_called_too_often_is_called_less() -> None:
    biased = folder(MIX)
    biased[:, MONOCYTE] += 4.0  # as if every cell looked a little like a monocyte
    added = offsets(biased)
    assert added.argmin() == MONOCYTE and added[MONOCYTE] < -0.3
    before, after = mix_of(biased), mix_of(biased, added)
    assert before[MONOCYTE] > 3 * MIX[MONOCYTE]
    assert abs(after[MONOCYTE] - MIX[MONOCYTE]) < abs(before[MONOCYTE] - MIX[MONOCYTE])
    right = np.repeat(np.arange(5), np.round(MIX * 400).astype(int))
    decided = [(z.argmax(axis=1) == right).mean() for z in (biased, biased + added)]
    assert decided[1] > decided[0]


def test_an_unusual_but_sure_mix_is_not_forced_into_the_usual_one() -> None:
    leukaemia = folder(np.array([0.1, 0.85, 0.03, 0.01, 0.01]), sureness=8.0)
    added = offsets(leukaemia)
    assert (np.argmax(leukaemia + added, axis=1) == np.argmax(leukaemia, axis=1)).mean() > 0.97


@pytest.mark.parametrize("seed", range(3))
def test_the_minimum_is_one(seed: int) -> None:
    """Offsets that differ a little make the posterior's cost no smaller."""
    logits = folder(np.full(5, 0.2))
    found = offsets(logits)
    assert found.sum() == pytest.approx(0, abs=1e-9)
    moved = found + np.random.default_rng(seed).normal(0, 0.05, 5)

    def cost(added: NDArray[np.float64]) -> float:
        centred = added - added.mean()
        return float(centred @ centred / 2 - 5 * MIX @ np.log(mix_of(logits, centred)))

    assert cost(found) < cost(moved)
