"""A differential: how many of every hundred leukocytes are of each type, and how sure that is.

Counted is what a cell most probably is under the training mix, the argmax of p_<class>. The
decision of an evaluation may be logit-adjusted, as if all types were equally frequent: right for
naming one rare cell, wrong for counting, since it takes many common cells for rare ones. Where the
loss was weighted, so that p_<class> are those of even classes, `in_training_mix` comes first.

`table` is predictions.csv or rows of it; only what says so needs its labels. Shares are 0 to 1,
`percent` and all that is in tables is 0 to 100.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from wbc.adjusted_counts import (
    COUNT_PRIOR,
    NUM_DRAWS,
    Counts,
    Floats,
    adjust,
    adjusted_draws,
    rates,
)
from wbc.binomial import LEVEL, clopper_pearson
from wbc.cells import CLASSES
from wbc.metrics import NUM_DECIMALS, class_indices, confusion
from wbc.resampling import tail
from wbc.smears import number_of, several, smears_of, weights

FEWEST, FEW = 100, 200  # cells; laboratories count 100 at least and better 200 (CLSI H20-A2)
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


def caution(num_cells: int) -> str:
    """What to say of a differential of so few cells; "" where nothing need be said."""
    if num_cells < FEWEST:
        return f"too few cells: {num_cells}, a differential needs {FEWEST} and better {FEW}"
    if num_cells < FEW:
        return f"few cells: {num_cells}, better {FEW} or more"
    return ""


def rumke(counted: Counts, num_cells: int) -> tuple[Floats, Floats]:
    """95 % interval in percent of each count among `num_cells` (> 0) cells.

    Clopper & Pearson's exact binomial interval, which Rümke (1985, "The imprecision of the ratio
    of two percentages observed in differential white blood cell counts") tabulated for
    differentials. Right for one slide, whose cells were met independently.
    """
    low, high = clopper_pearson(counted, num_cells)
    return 100 * low, 100 * high


def types(table: pd.DataFrame, classes: Sequence[str] = CLASSES) -> Counts:
    """What each cell is counted as: class indices (N,)."""
    probabilities = table[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    return np.asarray(probabilities.argmax(axis=1), np.int64)


def in_training_mix(
    table: pd.DataFrame, labels: NDArray[np.integer[Any]], classes: Sequence[str] = CLASSES
) -> pd.DataFrame:
    """The table with p_<class> of the training mix, where they are those of evenly frequent types.

    A loss with weights of inverse class frequencies teaches p(x | type) alone; Bayes' rule puts the
    frequencies back (Elkan 2001, "The foundations of cost-sensitive learning", theorem 2).

    Args:
        labels: of the training cells; a type without cells counts as one cell, as in training.
    """
    names = [f"p_{name}" for name in classes]
    mix = np.maximum(np.bincount(labels, minlength=len(classes)), 1)
    weighted = table[names].to_numpy(np.float64) * mix
    weighted /= weighted.sum(axis=1, keepdims=True)
    return table.assign(**dict(zip(names, weighted.T, strict=True)))


def errors(table: pd.DataFrame, classes: Sequence[str] = CLASSES) -> Counts:
    """Counts (K, K) of labelled rows: row = true type, column = what it was counted as."""
    labels = class_indices(list(table["label"]), classes)
    return confusion(labels, types(table, classes), len(classes))


def differential(
    table: pd.DataFrame,
    validation: Counts | None,
    classes: Sequence[str] = CLASSES,
    reviewed: Counts | None = None,
) -> pd.DataFrame:
    """One row a type: class, n, counted, percent, low, high, adjusted, adjusted_low, adjusted_high.

    The five-part differential of the cells of `table` (no labels needed), with Rümke's interval,
    and the same adjusted for the `errors` of the validation set with a bootstrap interval; without
    `validation` the adjusted columns are nan. `reviewed` (K,) are further cells that a person has
    named: they count as named and are not adjusted.

    Raises:
        ValueError: no cells.
    """
    named = np.zeros(len(classes), np.int64) if reviewed is None else reviewed
    num_cells = len(table) + int(named.sum())
    if num_cells == 0:
        raise ValueError("no cells to count")
    by_model = np.bincount(types(table, classes), minlength=len(classes))
    counted = by_model + named
    low, high = rumke(counted, num_cells)
    adjusted = np.full((3, len(classes)), np.nan)
    if validation is not None:
        shares = adjust(by_model, rates(validation)) if len(table) else by_model.astype(np.float64)
        adjusted[0] = _with_named(shares, by_model, named)
        adjusted[1:] = np.quantile(_all_draws(by_model, named, validation), TAILS, axis=0)
        # The draws' middle is not quite the estimate: none may lie outside its own interval.
        adjusted[1:] = np.minimum(adjusted[0], adjusted[1]), np.maximum(adjusted[0], adjusted[2])
    columns = {
        "class": list(classes),
        "n": num_cells,
        "counted": counted,
        "percent": 100 * counted / num_cells,
        "low": low,
        "high": high,
        "adjusted": 100 * adjusted[0],
        "adjusted_low": 100 * adjusted[1],
        "adjusted_high": 100 * adjusted[2],
    }
    return pd.DataFrame(columns).round(NUM_DECIMALS)


def _with_named(shares: Floats, by_model: Counts, named: Counts) -> Floats:
    """Shares (K,) of all cells from those of the model's cells and the counts of a person's."""
    total = by_model.sum() + named.sum()
    return np.asarray(shares * (by_model.sum() / total) + named / total, np.float64)


def _all_draws(by_model: Counts, named: Counts, validation: Counts, seed: int = 1) -> Floats:
    """`adjusted_draws` of the model's cells together with a person's.

    One Dirichlet draw over both kinds of counts, in its two steps: how much is the model's, and
    the mix within each kind.
    """
    draws = adjusted_draws(by_model, validation)
    if not named.any():
        return draws
    rng = np.random.default_rng(seed)
    theirs = rng.dirichlet(named + (1e-9 if by_model.any() else COUNT_PRIOR), NUM_DRAWS)
    if not by_model.any():
        return np.asarray(theirs, np.float64)
    share = rng.beta(by_model.sum() + COUNT_PRIOR * len(named), named.sum(), NUM_DRAWS)[:, None]
    return np.asarray(share * draws + (1 - share) * theirs, np.float64)


def bias(table: pd.DataFrame, classes: Sequence[str] = CLASSES, seed: int = 0) -> pd.DataFrame:
    """One row a type of labelled cells: class, true_count, bias_points, bias_low, bias_high.

    Bias is counted less true in percentage points of all cells, with a 95 % interval for paired
    proportions (Bonett & Price 2012, "Adjusted Wald confidence interval for a difference of
    binomial proportions based on paired data"). Where the smear of every cell is known the
    interval also covers the bootstrap over smears: cells of one smear err together. A smear is a
    group of one laboratory, the first folder of `path`.
    """
    labels = class_indices(list(table["label"]), classes)
    every = np.arange(len(classes))
    is_counted = (types(table, classes)[:, None] == every).astype(np.int64)
    is_true = (labels[:, None] == every).astype(np.int64)
    surplus = is_counted - is_true  # (N, K): -1 missed, 1 taken in wrongly
    low, high = _paired_interval((surplus > 0).sum(axis=0), (surplus < 0).sum(axis=0), len(table))
    smears = several(smears_of(table))
    if smears is not None:
        draws = _smear_draws(surplus, smears, seed)
        outside = tail(number_of(smears))
        ends = np.quantile(draws, (outside, 1 - outside), axis=0)
        low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
    columns = {
        "class": list(classes),
        "true_count": is_true.sum(axis=0),
        "bias_points": 100 * surplus.mean(axis=0),
        "bias_low": 100 * low,
        "bias_high": 100 * high,
    }
    return pd.DataFrame(columns).round(NUM_DECIMALS)


def _paired_interval(wrongly: Counts, missed: Counts, num_cells: int) -> tuple[Floats, Floats]:
    taken, lost = (wrongly + 1) / (num_cells + 2), (missed + 1) / (num_cells + 2)
    middle = taken - lost
    half = stats.norm.ppf(TAILS[1]) * np.sqrt((taken + lost - middle**2) / (num_cells + 2))
    return np.maximum(middle - half, -1), np.minimum(middle + half, 1)


def _smear_draws(surplus: Counts, smears: NDArray[np.integer[Any]], seed: int) -> Floats:
    """Mean surplus (NUM_DRAWS, K) of smears weighted anew."""
    number = number_of(smears)
    sums = np.stack([np.bincount(smears, column, number) for column in surplus.T], axis=1)
    drawn = weights(np.random.default_rng(seed), NUM_DRAWS, number)
    return np.asarray((drawn @ sums) / (drawn @ np.bincount(smears))[:, None], np.float64)


def counts_table(predictions: pd.DataFrame, classes: Sequence[str] = CLASSES) -> pd.DataFrame:
    """counts.csv: set and the columns of `differential` and `bias`, one row a set and type.

    The adjusted columns are nan for val itself, whose errors adjust the others: its own adjusted
    count would be its labels.
    """
    validation = errors(predictions[predictions["set"] == "val"], classes)
    tables = []
    for name, rows in predictions.groupby("set", sort=False):
        counted = differential(rows, None if name == "val" else validation, classes)
        both = counted.merge(bias(rows, classes), on="class")
        both.insert(0, "set", name)
        tables.append(both)
    table = pd.concat(tables, ignore_index=True)
    table.insert(3, "true_count", table.pop("true_count"))
    return table
