"""Whether a class is recognised worse than before: paired proportions of one class's cells."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import optimize, stats

from wbc import paired
from wbc.binomial import LEVEL
from wbc.cells import CLASSES
from wbc.paired import Pair

State = Literal["not worse", "may be worse", "worse", "too few to prove"]
REFUSED: Final = ("may be worse", "worse")
_EDGE: Final = 1 - 1e-9  # of the search for the limit; at -1 and 1 the statistic is not defined


@dataclass(frozen=True)
class ClassRecall:
    """One class: recalls of the new and the old model on its cells, and what is shown of them.

    `low` is the lower limit of new less old, one-sided 95 % (`lower_limit`); the new model alone
    is right on `only_new` cells, the old one alone on `only_old`.
    """

    name: str
    num_cells: int
    new: float
    old: float
    only_new: int
    only_old: int
    low: float
    state: State


def recalls(pair: Pair, margin: float) -> list[ClassRecall]:
    """Every class that the set has; `pair.first` is the new model, `pair.second` the old one."""
    return [_recall(pair, int(k), margin) for k in np.unique(pair.labels)]


def can_be_proved(num_cells: int, margin: float) -> bool:
    """Whether so many cells without one discordant among them would show non-inferiority."""
    return lower_limit(0, 0, num_cells) > -margin


def lower_limit(only_new: int, only_old: int, num_cells: int) -> float:
    """Lower limit, one-sided 95 %, of the difference of two proportions of the same cells.

    Tango's score interval (1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>
    3.0.CO;2-B): it keeps its level where proportions are near 1 and few cells are discordant, and
    is defined where none is: -z^2 / (n + z^2). 28 and 25 of 618 discordant: -0.0148.
    """
    if only_old == num_cells:
        return -1.0
    z = float(stats.norm.ppf(LEVEL))
    found = optimize.brentq(
        lambda difference: _statistic(difference, only_new, only_old, num_cells) - z, -_EDGE, _EDGE
    )
    return float(found)


def _statistic(difference: float, only_new: int, only_old: int, num_cells: int) -> float:
    """Tango's Z of the hypothesis that the proportions differ by `difference`; falls with it."""
    a = 2 * num_cells
    b = -only_new - only_old + (2 * num_cells - only_new + only_old) * difference
    c = -only_old * difference * (1 - difference)
    share = (np.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # of only_old, by likelihood
    variance = num_cells * (2 * share + difference * (1 - difference))
    excess = only_new - only_old - num_cells * difference
    return float(excess / np.sqrt(max(variance, 1e-300)))


def _recall(pair: Pair, k: int, margin: float) -> ClassRecall:
    own = pair.labels == k
    new, old = (decided[own] == k for decided in (pair.first, pair.second))
    num_cells, only_new, only_old = int(own.sum()), int((new & ~old).sum()), int((old & ~new).sum())
    low = lower_limit(only_new, only_old, num_cells)
    return ClassRecall(
        name=CLASSES[k],
        num_cells=num_cells,
        new=float(new.mean()),
        old=float(old.mean()),
        only_new=only_new,
        only_old=only_old,
        low=low,
        state=_state(only_new, only_old, num_cells, low, margin),
    )


def _state(only_new: int, only_old: int, num_cells: int, low: float, margin: float) -> State:
    if low > -margin:
        return "not worse"
    if can_be_proved(num_cells, margin):
        return "may be worse"
    lost = only_old > only_new and paired.mcnemar(only_new, only_old) < 1 - LEVEL
    return "worse" if lost else "too few to prove"
