"""Whether one model is better than another on the same cells: paired tests.

McNemar's exact test counts the cells that only one of the two named right. The paired bootstrap
draws the same cells (or smears) for both models and looks at the difference of their scores, so
that what makes a cell hard for both cancels. Holm's correction keeps the chance of any false
finding among several comparisons at the level of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from wbc import smears
from wbc.binomial import LEVEL
from wbc.cells import CLASSES
from wbc.errors import UserError
from wbc.intervals import confusion_scores
from wbc.metrics import class_indices

NUM_DRAWS: Final = 2000
SEED: Final = 20060601  # of the draws; equal decisions give equal intervals
SCORES: Final = ("balanced_accuracy", "macro_f1")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Decisions of two models on the same N cells; `smears` (N,) is None where unknown."""

    labels: Ints
    first: Ints
    second: Ints
    smears: Ints | None


@dataclass(frozen=True)
class Difference:
    """A score of the first model less that of the second: 95 % interval and two-sided p."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """What the tests say of one pair; `num_smears` is 0 where cells alone were drawn, and
    `differences` are by the names in SCORES."""

    num_cells: int
    num_smears: int
    only_first_right: int
    only_second_right: int
    mcnemar_p: float
    differences: dict[str, Difference]


def compare(pair: Pair) -> Comparison:
    """All tests of one pair."""
    right = [decided == pair.labels for decided in (pair.first, pair.second)]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Comparison(
        num_cells=len(pair.labels),
        num_smears=smears.number_of(smears.several(pair.smears)),
        only_first_right=only_first,
        only_second_right=only_second,
        mcnemar_p=mcnemar(only_first, only_second),
        differences=bootstrap(pair),
    )


def join(first: pd.DataFrame, second: pd.DataFrame, name: str, by_smear: bool) -> Pair:
    """The rows of set `name` in two predictions.csv, brought into one order.

    Raises:
        UserError: the two do not hold the same cells with the same labels.
    """
    columns = ["path", "label", "group", "predicted"]
    rows = [table[table["set"] == name][columns] for table in (first, second)]
    both = rows[0].merge(rows[1], on=["path", "label", "group"], validate="one_to_one")
    if not len(both) == len(rows[0]) == len(rows[1]):
        raise UserError(
            f"Two models can be compared only on the same cells, but of {len(rows[0])} and"
            f" {len(rows[1])} in {name} they share {len(both)}; run `dvc repro` to evaluate both"
            " on the same data."
        )
    labels, left, right = (
        class_indices(list(both[column])) for column in ("label", "predicted_x", "predicted_y")
    )
    return Pair(labels, left, right, smears.smears_of(both) if by_smear else None)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p (McNemar 1947): cells that only one names right fall to each evenly.

    2 and 8 of 10 discordant cells: 0.109375; no discordant cells: 1.
    """
    discordant = only_first + only_second
    return float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Holm 1979): 0.01, 0.04, 0.03 -> 0.03, 0.06, 0.06."""
    count, highest = len(p_values), 0.0
    adjusted = [0.0] * count
    for rank, position in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (count - rank) * p_values[position]))
        adjusted[position] = highest
    return adjusted


def bootstrap(pair: Pair) -> dict[str, Difference]:
    """The differences of SCORES, over cells by class and, where known, over smears as well.

    Few smears may happen to agree, and agree exactly where mistakes are rare. So a difference over
    smears is never surer than the same over cells: the wider limits and the larger p are taken.
    One smear alone is cells.
    """
    joint = _joint(pair)
    observed = _differences(joint.sum(axis=0))
    cells = _differences(_drawn_cells(joint.sum(axis=0)))
    found = {name: _over_cells(float(observed[name]), cells[name]) for name in SCORES}
    if len(joint) == 1:
        return found
    smears = _differences(_drawn_smears(joint))
    both = {name: _over_smears(float(observed[name]), smears[name], len(joint)) for name in SCORES}
    return {name: _less_sure(found[name], both[name]) for name in SCORES}


def is_shown(difference: Difference, p_adjusted: float) -> bool:
    """Whether the difference is more than chance would often make of two equal models."""
    return p_adjusted < 1 - LEVEL and not difference.low <= 0 <= difference.high


def _joint(pair: Pair) -> Floats:
    """(units, K, K, K) cells by class, first and second decision; a unit is a smear, or all."""
    size = len(CLASSES)
    units = np.zeros(len(pair.labels), np.int64) if pair.smears is None else pair.smears
    counts = np.zeros((int(units.max()) + 1, size, size, size))
    np.add.at(counts, (units, pair.labels, pair.first, pair.second), 1)
    return counts


def _drawn_cells(counts: Floats) -> Floats:
    """(NUM_DRAWS, K, K, K): each class keeps its number, so its decisions are multinomial."""
    random = np.random.default_rng(SEED)
    drawn = np.zeros((NUM_DRAWS, *counts.shape))
    for k in np.flatnonzero(counts.sum(axis=(1, 2))):
        number = int(counts[k].sum())
        shares = counts[k].ravel() / number
        drawn[:, k] = random.multinomial(number, shares, NUM_DRAWS).reshape(-1, *counts[k].shape)
    return drawn


def _drawn_smears(joint: Floats) -> Floats:
    """(NUM_DRAWS, K, K, K) sums of the smears' counts, weighted anew each time."""
    weights = smears.weights(np.random.default_rng(SEED), NUM_DRAWS, len(joint))
    return np.tensordot(weights, joint, axes=1)


def _over_cells(value: float, draws: Floats) -> Difference:
    """Percentile interval; p is twice the smaller share of draws on either side of 0, each counted
    with the value itself (Davison and Hinkley 1997, section 4.2), so never below 2 / (draws + 1).
    """
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    sides = [(np.sum(sign * draws >= 0) + 1) / (len(draws) + 1) for sign in (1, -1)]
    return Difference(value, float(low), float(high), min(1.0, 2 * float(min(sides))))


def _over_smears(value: float, draws: Floats, num_smears: int) -> Difference:
    """Student's t with the draws' standard deviation, corrected for the number of smears.

    Percentiles of so few units are too narrow (Hesterberg 2015, arXiv 1411.5279, section 5.3), and
    of 2,000 draws they cannot reach as far as t does with 2 to 5 smears. Dirichlet weights give a
    mean of n units the variance s^2 (n - 1) / (n (n + 1)) instead of s^2 / n.
    """
    error = float(draws.std() * np.sqrt((num_smears + 1) / (num_smears - 1)))
    if error < 1e-12:  # the smears agree exactly; the cells alone tell how sure that is
        return Difference(value, value, value, 0.0 if abs(value) > 1e-12 else 1.0)
    half = float(stats.t.ppf((1 + LEVEL) / 2, num_smears - 1)) * error
    p = 2 * float(stats.t.sf(abs(value) / error, num_smears - 1))
    return Difference(value, max(value - half, -1.0), min(value + half, 1.0), p)


def _less_sure(one: Difference, other: Difference) -> Difference:
    low, high = min(one.low, other.low), max(one.high, other.high)
    return Difference(one.value, low, high, max(one.p, other.p))


def _differences(joint: Floats) -> dict[str, Floats]:
    """{score: (...)} first less second, from counts (..., K, K, K)."""
    first, second = confusion_scores(joint.sum(axis=-1)), confusion_scores(joint.sum(axis=-2))
    return {name: np.asarray(first[name] - second[name]) for name in SCORES}
