"""Two groups of cells compared within classes, so that another mix of classes changes nothing.

Every function takes values and strata of both groups: `found` of the folder, `usual` of the
reference. A class that only one of them has says nothing and is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom, norm, rankdata

Numbers = NDArray[np.float64]
Classes = NDArray[np.int64]

NUM_DRAWS: Final = 9_999


@dataclass(frozen=True)
class Group:
    """Values (N,) of some cells and their classes (N,)."""

    values: Numbers
    classes: Classes

    def of(self, k: int) -> Numbers:
        return np.asarray(self.values[self.classes == k])


@dataclass(frozen=True)
class Ranked:
    """`auroc`: in what share of the pairs of one class the folder's value is the larger, ties
    counted half; nan where no class is in both. `z`: how many standard errors from 1/2."""

    auroc: float
    z: float

    @property
    def larger(self) -> float:
        """p of values no larger than usual."""
        return float(norm.sf(self.z))

    @property
    def smaller(self) -> float:
        return float(norm.cdf(self.z))

    @property
    def other(self) -> float:
        return float(2 * norm.sf(abs(self.z)))


def van_elteren(found: Group, usual: Group) -> Ranked:
    """Wilcoxon's rank sums within classes, added up with van Elteren's weights 1 / (N + 1).

    van Elteren 1960, Bull. Inst. Internat. Statist. 37; ties as in Lehmann's Nonparametrics (1975),
    p. 145; the normal approximation. The pairs' share is weighted as the test weights classes.
    """
    surplus = variance = pairs = 0.0
    for here, there in _in_both(found, usual):
        n, m = len(here), len(there)
        ranks = rankdata(np.concatenate([here, there]))
        weight = 1 / (n + m + 1)
        _, ties = np.unique(ranks, return_counts=True)
        tied = (ties.astype(np.float64) ** 3 - ties).sum() / ((n + m) ** 3 - (n + m))
        surplus += weight * (ranks[:n].sum() - n * (n + m + 1) / 2)
        variance += weight**2 * n * m * (n + m + 1) / 12 * (1 - tied)
        pairs += weight * n * m
    if not pairs:
        return Ranked(float("nan"), 0.0)
    z = surplus / np.sqrt(variance) if variance > 0 else 0.0
    return Ranked(float(0.5 + surplus / pairs), float(z))


def standard_error(found: Classes, usual: Classes) -> float:
    """Of `Ranked.auroc` without ties; nan where no class is in both."""
    variance = pairs = 0.0
    for k in np.intersect1d(found, usual):
        n, m = int((found == k).sum()), int((usual == k).sum())
        variance += n * m / (n + m + 1) / 12
        pairs += n * m / (n + m + 1)
    return float(np.sqrt(variance) / pairs) if pairs else float("nan")


def more_flagged(found: Group, usual: Group) -> float:
    """p of so many flagged cells (values 0 or 1) or more, were the folder's like the reference's.

    Exact: within each class the folder's share of the flagged is hypergeometric; their sum is the
    statistic of Mantel and Haenszel (1959).
    """
    chances, total = np.ones(1), 0
    for here, there in _in_both(found, usual):
        flagged = int(here.sum() + there.sum())
        total += int(here.sum())
        most = min(flagged, len(here))
        law = hypergeom(len(here) + len(there), flagged, len(here))
        chances = np.convolve(chances, law.pmf(np.arange(most + 1)))
    return float(min(1.0, chances[total:].sum()))


def other_mix(found: NDArray[np.int64], usual: NDArray[np.int64], seed: int = 25) -> float:
    """p of Pearson's chi-squared of two rows of counts (K,), by drawing with both margins fixed.

    So it holds for classes with few cells too. Its smallest value is 1 / 10,000.
    """
    totals = found + usual
    shown = totals > 0
    found, totals = found[shown], totals[shown]
    if not found.sum() or found.sum() == totals.sum():
        return 1.0
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_hypergeometric(totals, int(found.sum()), NUM_DRAWS)
    expected = totals * (found.sum() / totals.sum())

    def distance(counts: NDArray[Any]) -> Numbers:  # chi-squared but for a common factor
        return np.asarray(((counts - expected) ** 2 / totals).sum(axis=-1))

    as_far = int((distance(drawn) >= distance(found) - 1e-12).sum())
    return (1 + as_far) / (1 + NUM_DRAWS)


def holm(ps: NDArray[np.float64]) -> Numbers:
    """p values corrected for their number (Holm 1979): the smallest times n, the next times n-1."""
    order = np.argsort(ps, kind="stable")
    steps = np.maximum.accumulate(ps[order] * np.arange(len(ps), 0, -1))
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def like_mix(found: Classes, usual: Classes) -> Numbers:
    """Weights (M,) of the reference's cells that give it the folder's mix of classes.

    They sum to 1 over the classes that both have; all are 0 where there is none.
    """
    weights = np.zeros(len(usual))
    for k in np.intersect1d(found, usual):
        weights[usual == k] = (found == k).sum() / (usual == k).sum()
    return weights / weights.sum() if weights.any() else weights


def weighted_median(values: Numbers, weights: Numbers) -> float:
    """The smallest value with at least half of the weight at or below it."""
    if not weights.any():
        return float("nan")
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2 - 1e-12)])


def _in_both(found: Group, usual: Group) -> Iterator[tuple[Numbers, Numbers]]:
    for k in np.intersect1d(found.classes, usual.classes):
        yield found.of(int(k)), usual.of(int(k))
