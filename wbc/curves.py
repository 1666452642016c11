"""ROC, precision-recall and risk-coverage curves of one evaluation set, and their areas.

One-vs-rest: for each class, its cells against all others, ordered by its probability. Classes that
the set lacks, or that it consists of, have no such curve. Tables are thinned to NUM_POINTS a curve;
areas are of the whole curves.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from wbc.cells import CLASSES

NUM_POINTS: Final = 200  # of a curve's table at most
COVERAGES: Final = (0.95, 0.9, 0.8, 0.5)  # at which the selective accuracy is told
KEPT_SHARE: Final = 0.8  # of the cells, the surest ones: what `refused` keeps

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def judged_classes(labels: Labels, num_classes: int) -> list[int]:
    """Positions of the classes that some cells of the set belong to, and some do not."""
    counts = np.bincount(labels, minlength=num_classes)
    return [k for k, count in enumerate(counts) if 0 < count < len(labels)]


def areas(
    labels: Labels, probabilities: Floats, classes: Sequence[str] = CLASSES
) -> tuple[dict[str, float], dict[str, float]]:
    """{class: area under the ROC curve} and {class: average precision}, one-vs-rest, 0 to 1."""
    auroc, average_precision = {}, {}
    for k in judged_classes(labels, len(classes)):
        own = labels == k
        auroc[classes[k]] = float(roc_auc_score(own, probabilities[:, k]))
        average_precision[classes[k]] = float(average_precision_score(own, probabilities[:, k]))
    return auroc, average_precision


def roc_table(
    labels: Labels, probabilities: Floats, classes: Sequence[str] = CLASSES
) -> pd.DataFrame:
    """Columns class, threshold (2 for the point at which no cell is named), fpr and tpr."""
    tables = [pd.DataFrame(columns=["class", "threshold", "fpr", "tpr"])]
    for k in judged_classes(labels, len(classes)):
        fpr, tpr, thresholds = roc_curve(labels == k, probabilities[:, k])
        kept = thin(fpr, tpr)
        thresholds = np.minimum(thresholds, 2.0)  # the first is infinite
        columns = {"threshold": thresholds[kept], "fpr": fpr[kept], "tpr": tpr[kept]}
        tables.append(pd.DataFrame({"class": classes[k], **columns}))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def pr_table(
    labels: Labels, probabilities: Floats, classes: Sequence[str] = CLASSES
) -> pd.DataFrame:
    """Columns class, threshold, recall (falling, to 0) and precision.

    Each precision holds from its own recall down to the next one: drawn as such steps
    (matplotlib's steps-post), the area is the average precision. The last point is no decision at
    all, recall 0, threshold 2.
    """
    tables = [pd.DataFrame(columns=["class", "threshold", "recall", "precision"])]
    for k in judged_classes(labels, len(classes)):
        precision, recall, thresholds = precision_recall_curve(labels == k, probabilities[:, k])
        thresholds = np.append(thresholds, 2.0)
        precision[-1] = precision[-2]  # the last is no decision, its precision a convention
        first = np.flatnonzero(recall == 1)[-1]  # lower thresholds only add wrong cells
        precision, recall, thresholds = precision[first:], recall[first:], thresholds[first:]
        kept = thin(recall, precision)
        columns = {
            "threshold": thresholds[kept],
            "recall": recall[kept],
            "precision": precision[kept],
        }
        tables.append(pd.DataFrame({"class": classes[k], **columns}))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def risks(confidence: Floats, right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) share of wrong decisions among the 1, 2, ..., N surest cells.

    Cells of equal confidence have no order among themselves: each counts as their mean.
    """
    order = np.argsort(-confidence, kind="stable")
    _, block = np.unique(-np.asarray(confidence)[order], return_inverse=True)
    wrong = (~right[order]).astype(np.float64)
    mean = np.bincount(block, wrong) / np.bincount(block)
    return np.asarray(np.cumsum(mean[block]) / np.arange(1, len(right) + 1))


def aurc(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve: the mean of `risks` (Geifman and El-Yaniv 2017,
    arXiv 1705.08500); 0 is best, the error rate is what an order by chance gives."""
    return float(risks(confidence, right).mean())


def selective_accuracy(confidence: Floats, right: NDArray[np.bool_]) -> dict[str, float]:
    """{coverage: accuracy among that share of the cells, the surest ones (rounded up)}."""
    risk = risks(confidence, right)
    counts = {c: int(np.ceil(c * len(right) - 1e-9)) for c in COVERAGES}
    return {f"{c:g}": float(1 - risk[count - 1]) for c, count in counts.items()}


def risk_table(confidence: Floats, right: NDArray[np.bool_]) -> pd.DataFrame:
    """Columns coverage (rising, to 1), threshold (of the confidence) and risk."""
    count = len(right)
    coverage, risk = np.arange(1, count + 1) / count, risks(confidence, right)
    kept = np.unique(np.linspace(0, count - 1, NUM_POINTS).round().astype(np.int64))
    threshold = -np.sort(-np.asarray(confidence, dtype=np.float64))
    columns = {"coverage": coverage[kept], "threshold": threshold[kept], "risk": risk[kept]}
    return pd.DataFrame(columns)


def thin(x: Floats, y: Floats) -> NDArray[np.int64]:
    """Positions of at most NUM_POINTS points of a curve, evenly along it, both ends among them."""
    if len(x) <= NUM_POINTS:
        return np.arange(len(x))
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    wanted = np.linspace(0, way[-1], NUM_POINTS)
    found = np.unique(np.searchsorted(way, wanted).clip(0, len(x) - 1))
    found[0], found[-1] = 0, len(x) - 1
    return np.asarray(found, dtype=np.int64)


def refused(confidence: Floats, right: NDArray[np.bool_], labels: Labels) -> dict[str, float]:
    """What refusing the least certain cells (1 - KEPT_SHARE of them) does in one set.

    Cells and wrong decisions among the refused and the kept, and balanced accuracy over the
    classes that are there: of all cells (`after_all`, as `after` in shift.csv) and of the kept.
    """
    count = math.ceil(KEPT_SHARE * len(confidence))
    kept = np.zeros(len(confidence), bool)
    kept[np.argsort(-confidence, kind="stable")[:count]] = True
    return {
        "refused_cells": len(confidence) - count,
        "refused_errors": int(np.count_nonzero(~right & ~kept)),
        "kept_cells": count,
        "kept_errors": int(np.count_nonzero(~right & kept)),
        "after_all": _mean_recall(right, labels),
        "after_kept": _mean_recall(right[kept], labels[kept]),
    }


def _mean_recall(right: NDArray[np.bool_], labels: Labels) -> float:
    return float(np.mean([right[labels == k].mean() for k in np.unique(labels)]))
