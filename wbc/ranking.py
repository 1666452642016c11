"""Areas under the curves of one order of the cells, for many weightings of them at once.

With all weights 1 they are those of `wbc.curves`. Cells of equal score have no order among
themselves: they make a block.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Ranking:
    """N cells by falling score: their positions (N,), and of the B blocks the first rank of each
    and the number of cells, (B,)."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]


def ranking(scores: NDArray[np.floating[Any]]) -> Ranking:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    return Ranking(order, starts, np.diff(starts, append=len(scores)))


def areas(ranked: Ranking, own: Bools, weights: Floats) -> tuple[Floats, Floats]:
    """(R,) areas under the ROC curve and (R,) average precisions, for weights (R, N).

    `own` (N,) are the cells to be found; some are, some are not, and both weigh something.
    """
    hits = own[ranked.order]
    found = np.cumsum(hits)
    with_hits = np.flatnonzero(np.add.reduceat(hits.astype(np.int64), ranked.starts))
    before = ranked.starts[with_hits]
    after = before + ranked.sizes[with_hits]
    of_all = _cumulated(weights[:, ranked.order])
    of_own = _cumulated(weights[:, ranked.order[hits]])
    own_after = of_own[:, found[after - 1]]
    own_before = of_own[:, found[after - 1] - np.diff(found[after - 1], prepend=0)]
    gained, all_after = own_after - own_before, of_all[:, after]
    num_own = of_own[:, -1]
    num_rest = of_all[:, -1] - num_own
    rest_above = (all_after - own_after + of_all[:, before] - own_before) / 2  # ties count half
    pairs = (gained * (num_rest[:, None] - rest_above)).sum(axis=1)
    precision = np.divide(own_after, all_after, out=np.zeros_like(gained), where=all_after > 0)
    return pairs / (num_own * num_rest), (gained * precision).sum(axis=1) / num_own


def risk_areas(ranked: Ranking, right: Bools, weights: Floats) -> Floats:
    """(R,) areas under the risk-coverage curve, for weights (R, N); `right` (N,)."""
    ordered = weights[:, ranked.order]
    wrong = _evenly(ordered * ~right[ranked.order], ranked)
    ordered = _evenly(ordered, ranked)
    above = np.cumsum(ordered, axis=1)
    risk = np.divide(np.cumsum(wrong, axis=1), above, out=np.zeros_like(above), where=above > 0)
    return np.asarray((ordered * risk).sum(axis=1) / above[:, -1])


def risk_costs(ranked: Ranking) -> Floats:
    """(N,) what each cell adds to the area under the risk-coverage curve if it is named wrongly:
    the mean over all coverages of its share in the cells that are answered."""
    count = len(ranked.order)
    after = np.cumsum(1 / np.arange(count, 0, -1))[::-1] / count
    costs = np.empty(count)
    costs[ranked.order] = _evenly(after[None], ranked)[0]
    return costs


def _evenly(values: Floats, ranked: Ranking) -> Floats:
    """The values (R, N), by rank, with the mean of its block for each cell."""
    if len(ranked.starts) == values.shape[1]:
        return values
    means = np.add.reduceat(values, ranked.starts, axis=1) / ranked.sizes
    return np.repeat(means, ranked.sizes, axis=1)


def _cumulated(values: Floats) -> Floats:
    """(R, N + 1): sums of the first 0, 1, ..., N of each row."""
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums
