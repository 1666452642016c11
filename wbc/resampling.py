"""Bootstrap of balanced accuracy over smears, from rows of predictions.csv."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

NUM_DRAWS: Final = 2000


def smear_weights(cells: pd.DataFrame, rng: np.random.Generator) -> Numbers:
    """How often each smear is in each of NUM_DRAWS resamples, (NUM_DRAWS, smears)."""
    count = int(_smears(cells).max()) + 1
    return rng.multinomial(count, np.full(count, 1 / count), size=NUM_DRAWS).astype(np.float64)


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
    """Balanced accuracy of each resample, (NUM_DRAWS,), over the classes that it drew."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean((weights @ hits) / (weights @ totals), axis=1))


def _smears(cells: pd.DataFrame) -> NDArray[np.int64]:
    """A number for each cell's smear; where it is unknown the cell is one of its own."""
    names = np.where(cells["group"] == "", "\0" + cells["path"], cells["group"])
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)
