"""Scores over seeds with intervals, as rows of Markdown."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wbc.cells import CLASSES
from wbc.intervals import confusion_scores
from wbc.metrics import class_indices, confusion, decided_probability
from wbc.resampling import replicate_sums, tail

SHOWN = ("balanced_accuracy", "macro_f1")


def mean_scores(tables: Sequence[pd.DataFrame], *names: str) -> dict[str, NDArray[np.float64]]:
    """{score: (value, low, high, sd)}: the mean over seeds and sets, its 95 % bootstrap interval.

    The interval is over cells, each drawn for all seeds and sets at once; `sd` is that of the
    seeds. Several sets show the same cells, in the same order of paths.
    """
    parts = [table[table["set"] == name].sort_values("path") for table in tables for name in names]
    labels = class_indices(list(parts[0]["label"]))
    decided = [class_indices(list(part["predicted"])) for part in parts]
    size = len(CLASSES)
    one_hot = np.zeros((len(labels), len(parts) * size * size))
    for position, decisions in enumerate(decided):
        column = position * size * size + labels * size + decisions
        one_hot[np.arange(len(labels)), column] = 1
    shape = (-1, len(parts), size, size)
    values = confusion_scores(one_hot.sum(axis=0).reshape(shape))
    drawn = confusion_scores(replicate_sums(one_hot, labels, None).reshape(shape))
    found = {}
    for score in SHOWN:
        limits = np.quantile(drawn[score].mean(axis=1), [tail(0), 1 - tail(0)])
        own = values[score][0].reshape(len(tables), len(names)).mean(axis=1)
        spread = own.std(ddof=1) if len(own) > 1 else 0.0
        found[score] = np.array([own.mean(), *limits, spread])
    return found


def confusion_of(tables: Sequence[pd.DataFrame], name: str) -> NDArray[np.int64]:
    """(5, 5) counts, all seeds together: row = true class, column = decision."""
    together = pd.concat([table[table["set"] == name] for table in tables])
    true, decided = (class_indices(list(together[key])) for key in ("label", "predicted"))
    return confusion(true, decided, len(CLASSES))


def surest(tables: Sequence[pd.DataFrame], share: float) -> list[pd.DataFrame]:
    """Of each seed's cells the `share` whose decided class is the most probable, by set."""
    kept = []
    for each in tables:
        certain = each.assign(certain=decided_probability(each))
        places = certain.groupby("set")["certain"].rank(ascending=False, method="first", pct=True)
        kept.append(certain[places <= share])
    return kept


def accuracies(tables: Sequence[pd.DataFrame], name: str) -> tuple[float, float]:
    """Accuracy and balanced accuracy (of the classes that are there), means over seeds."""
    parts = [table[table["set"] == name] for table in tables]
    right = [(part["label"] == part["predicted"]) for part in parts]
    by_class = [
        ok.groupby(part["label"]).mean().mean() for ok, part in zip(right, parts, strict=True)
    ]
    return float(np.mean([ok.mean() for ok in right])), float(np.mean(by_class))


def percent(score: NDArray[np.float64], interval: bool = True) -> str:
    value, low, high, spread = 100 * score
    text = f"{value:.1f}"
    if interval:
        text += f" ({low:.1f}-{high:.1f})"
    return text + (f" ±{spread:.1f}" if spread else "")
