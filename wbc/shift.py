"""How far a set of cells lies from what the model was trained on, and what that costs.

The distance of a cell is taken in the model's feature space: to its k-th nearest training cell
(Sun et al. 2022, ICML, arXiv 2204.06507), features scaled to length 1. It needs no labels and
assumes no shape of the cloud. Validation cells are the measure of what is usual: they come from
the training laboratory, and the network has not learned them by heart as it has the training
cells. docs/shift.md says what every number means and where its limits are.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

Features = NDArray[np.float32]
Numbers = NDArray[np.float64]
Verdict = Literal["in domain", "shifted", "out of domain"]

MAX_REFERENCE: Final = 500  # training cells in the reference; 1,000 change little and cost time
NEIGHBOUR: Final = 5  # k: 1 % of a full reference, as Sun et al. take it
MIN_USUAL: Final = 2  # validation cells; with fewer nothing is usual
USUAL_SHARE: Final = 0.99  # of the validation cells that lie within the limit
NOT_BY_CHANCE: Final = 0.999  # of the draws from the training laboratory hold fewer far cells
SHIFTED: Final = 0.05  # share of far cells from which on a set is called shifted: 5 times as usual
OUT: Final = 0.5  # and out of domain: most of its cells are farther than 99 % of validation's


@dataclass(frozen=True)
class Reference:
    """What `distances` measures against: unit features (N, D) of training cells, and the limit.

    `usual` (M,) are validation's distances in rising order. Three arrays, to be kept beside a
    model (500 x 1,280 numbers in half precision are 1.3 MB).
    """

    features: Features
    usual: Numbers

    @property
    def limit(self) -> float:
        """The distance that 99 % of the validation cells keep: a cell beyond it is far."""
        return float(self.usual[self.rank_of_limit])

    @property
    def rank_of_limit(self) -> int:
        """How many validation cells are nearer than the limit, which is one of their distances."""
        return int(np.ceil(USUAL_SHARE * len(self.usual))) - 1


@dataclass(frozen=True)
class Distance:
    """How far one set lies from training.

    `share_far`: of its cells beyond the limit; `chance_far`: the share that a set of this size
    from the training laboratory exceeds once in a thousand draws; `auroc`: how well the distance
    tells the set's cells from validation cells (0.5 not at all, 1 perfectly); `auroc_errors`: how
    well it tells the set's wrongly named cells from its rightly named ones, None where all are
    one or the other.
    """

    num_cells: int
    median: float
    share_far: float
    chance_far: float
    auroc: float
    auroc_errors: float | None
    verdict: Verdict


def sample_rows(num_cells: int, limit: int = MAX_REFERENCE) -> NDArray[np.int64]:
    """At most `limit` of the rows 0 to num_cells - 1, the same ones every time, in order."""
    rows = np.random.default_rng(22).permutation(num_cells)[:limit]
    return np.sort(rows).astype(np.int64)


def make_reference(train: Features, val: Features) -> Reference:
    """From features (N, D) of training cells, N <= MAX_REFERENCE, and (M, D) of validation's.

    Raises:
        ValueError: too few cells of either.
    """
    if len(train) <= NEIGHBOUR or len(val) < MIN_USUAL:
        raise ValueError(f"{len(train)} training and {len(val)} validation cells are too few")
    unit = _unit(train)
    return Reference(unit, np.sort(_to_neighbours(unit, val)))


def distances(reference: Reference, features: Features) -> Numbers:
    """Distance (N,) of each cell (N, D) from training: 0 the same direction, 2 the opposite."""
    return _to_neighbours(reference.features, features)


def is_far(reference: Reference, distance: Numbers) -> NDArray[np.bool_]:
    """Which cells lie farther from training than 99 % of the validation cells."""
    return np.asarray(distance > reference.limit)


def measure(
    reference: Reference, distance: Numbers, wrong: NDArray[np.bool_] | None = None
) -> Distance:
    """One set's distances (N,), and which of its cells were named wrongly, as a `Distance`."""
    share = float(is_far(reference, distance).mean())
    chance = chance_far(reference, len(distance))
    errors = None
    if wrong is not None and 0 < wrong.sum() < len(wrong):
        errors = float(roc_auc_score(wrong, distance))
    return Distance(
        num_cells=len(distance),
        median=float(np.median(distance)),
        share_far=share,
        chance_far=chance,
        auroc=auroc(reference.usual, distance),
        auroc_errors=errors,
        verdict=verdict(share, chance),
    )


def chance_far(reference: Reference, num_cells: int) -> float:
    """The largest share of far cells that chance explains in a set of validation's own kind.

    If the set's and validation's cells are exchangeable, the number beyond the r-th smallest of n
    validation distances is beta-binomial with a = n - r + 1, b = r (order statistics; e.g. Vovk
    2012, arXiv 1209.2673). Its 99.9 % quantile over the set's size. Cells of one smear are more
    alike than that: with few smears the true value is higher.
    """
    num_usual, rank = len(reference.usual), reference.rank_of_limit + 1
    beyond = betabinom(num_cells, num_usual - rank + 1, rank)
    return float(beyond.ppf(NOT_BY_CHANCE) / num_cells)


def verdict(share_far: float, chance: float) -> Verdict:
    """Shifted: more far cells than chance explains, and than 5 %. Out of domain: over half."""
    if share_far <= max(chance, SHIFTED):
        return "in domain"
    return "out of domain" if share_far > OUT else "shifted"


def auroc(usual: Numbers, other: Numbers) -> float:
    """Probability that a cell of `other` is farther than one of `usual`, ties counted half."""
    far = np.concatenate([np.zeros(len(usual)), np.ones(len(other))])
    return float(roc_auc_score(far, np.concatenate([usual, other])))


def _unit(features: Features) -> Features:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(norms, 1e-12), dtype=np.float32)


def _to_neighbours(unit: Features, features: Features) -> Numbers:
    search: Any = NearestNeighbors(n_neighbors=NEIGHBOUR, algorithm="brute").fit(unit)
    found, _ = search.kneighbors(_unit(features))
    return np.asarray(found[:, -1], dtype=np.float64)
