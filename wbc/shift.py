"""How far a set of cells lies from what the model was trained on, and what that costs.

The distance of a cell is taken in the model's feature space, from some of its training cells
(wbc.reference). Validation cells are the measure of what is usual: they come from the training
laboratory, and the network has not learned them by heart as it has the training cells.
docs/shift.md says what every number means and where its limits are.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom
from sklearn.metrics import roc_auc_score

from wbc.reference import Numbers, Reference, is_far

Verdict = Literal["in domain", "shifted", "out of domain"]

NOT_BY_CHANCE: Final = 0.999  # of the draws from the training laboratory hold fewer far cells
SHIFTED: Final = 0.05  # share of far cells from which on a set is called shifted: 5 times as usual
OUT: Final = 0.5  # and out of domain: most of its cells are farther than 99 % of validation's


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
