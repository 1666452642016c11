"""The bootstrap's draws: how much each smear, or each cell, counts in every replicate.

All intervals of one set rest on the same draws, since they start from the same seed.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wbc.binomial import LEVEL
from wbc.smears import number_of, weights

NUM_REPLICATES: Final = 2000
SEED: Final = 20170706  # of the replicates; the intervals of equal decisions are equal
_CHUNK: Final = 4_000_000  # weights held at a time, 32 MB

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]


def tail(num_smears: int) -> float:
    """The share of replicates below an interval: 2.5 %, or less with few smears (0: cells).

    Hesterberg 2015 (arXiv 1411.5279, section 5.3: expanded percentile interval) widens for what
    replicates vary too little, and for Student's t: Phi(-sqrt(n / (n - 1)) t). Dirichlet weights
    give the mean of n units the variance s^2 (n - 1) / (n (n + 1)) instead of s^2 / n, so here it
    is sqrt((n + 1) / (n - 1)).
    """
    outside = (1 - LEVEL) / 2
    if num_smears < 2:
        return outside
    wide = np.sqrt((num_smears + 1) / (num_smears - 1)) * stats.t.ppf(outside, num_smears - 1)
    return float(stats.norm.cdf(wide))


def replicate_weights(labels: Ints, smears: Ints | None) -> Iterator[Floats]:
    """Chunks (R, U), NUM_REPLICATES rows in all: the weights of the U smears, or of the cells
    where `smears` is None; there every class keeps its number of cells."""
    draw = np.random.default_rng(SEED)
    num_units = number_of(smears) or len(labels)
    for size in _chunk_sizes(num_units):
        if smears is None:
            yield _class_weights(draw, size, labels)
        else:
            yield weights(draw, size, num_units)


def replicate_sums(statistics: Floats, labels: Ints, smears: Ints | None) -> Floats:
    """(NUM_REPLICATES, F): the weighted sums of what each cell adds, `statistics` (N, F)."""
    units = statistics
    if smears is not None:
        units = np.zeros((number_of(smears), statistics.shape[1]))
        np.add.at(units, smears, statistics)
    return np.concatenate([drawn @ units for drawn in replicate_weights(labels, smears)])


def _class_weights(draw: np.random.Generator, size: int, labels: Ints) -> Floats:
    """(size, N): how often each cell is drawn, where each class keeps its number of cells."""
    weights = np.empty((size, len(labels)))
    for k in np.unique(labels):
        own = np.flatnonzero(labels == k)
        count = len(own)
        drawn = draw.integers(count, size=(size, count)) + np.arange(size)[:, None] * count
        weights[:, own] = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
    return weights


def _chunk_sizes(num_units: int) -> Iterator[int]:
    step, left = max(1, _CHUNK // num_units), NUM_REPLICATES
    while left > 0:
        yield min(step, left)
        left -= step
