"""Bootstrap of balanced accuracy over smears, from rows of predictions.csv."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

NUM_DRAWS: Final = 2000


def smear_weights(cells: pd.DataFrame, rng: np.random.Generator) -> Numbers:
    """The weight of each smear in each of NUM_DRAWS resamples, (NUM_DRAWS, smears).

    As for the intervals of one model's scores (wbc.intervals): smears get weights of which none is
    0 (Rubin 1981: Bayesian bootstrap); where they are unknown, cells are drawn class by class.
    """
    smear = _smears(cells)
    count = int(smear.max()) + 1
    if not (cells["group"] == "").any():
        return rng.dirichlet(np.ones(count), NUM_DRAWS) * count
    weights = np.empty((NUM_DRAWS, count))
    for name in sorted(set(cells["label"])):
        own = smear[(cells["label"] == name).to_numpy()]
        weights[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), NUM_DRAWS)
    return weights


def hits_by_smear(cells: pd.DataFrame, classes: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Rightly named cells and all cells of each class in each smear: two arrays (smears, K)."""
    smear = _smears(cells)
    hits, totals = np.zeros((2, smear.max() + 1, len(classes)))
    right = (cells["label"] == cells["predicted"]).to_numpy()
    for column, name in enumerate(classes):
        own = (cells["label"] == name).to_numpy()
        np.add.at(totals[:, column], smear[own], 1)
        np.add.at(hits[:, column], smear[own & right], 1)
    return hits, totals


def mean_recalls(weights: Numbers, hits: Numbers, totals: Numbers) -> Numbers:
    """Balanced accuracy of each resample, (NUM_DRAWS,)."""
    return np.asarray(np.mean((weights @ hits) / (weights @ totals), axis=1))


def _smears(cells: pd.DataFrame) -> NDArray[np.int64]:
    """A number for each cell's smear; unless all are known, every cell is one of its own."""
    if (cells["group"] == "").any():
        return np.arange(len(cells))
    names = cells["group"].to_numpy()
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)
