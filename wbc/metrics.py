"""Scores of one model on one evaluation set, and the tables that show every single decision.

Labels and decisions are class indices (N,), probabilities are (N, K) with K = len(classes).
A set may lack classes (Raabin's Test-B holds two of five). What is averaged over classes is
averaged over the classes present among the labels, so a score never counts a class that nobody
could get right; cells sent to a class that the set lacks still count as misses of their own class
and are shown as `share_impossible`. Nothing here is ever NaN.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)

from wbc.cells import CLASSES
from wbc.errors import UserError

NUM_DECIMALS = 6  # of every score and probability that is written to a file

Scores = dict[str, Any]  # nested: name -> number, or name -> {class: number}


def class_indices(labels: Sequence[str], classes: Sequence[str] = CLASSES) -> NDArray[np.int64]:
    """Names of classes (N,) as indices (N,) into `classes`.

    Raises:
        UserError: a label is not one of `classes`.
    """
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise UserError(
            f"Labels should be among {', '.join(classes)}, but {unknown[0]!r} was found; check"
            " the sources in params.yaml and run `dvc repro` again."
        )
    positions = {name: position for position, name in enumerate(classes)}
    return np.array([positions[label] for label in labels], dtype=np.int64)


def scores(
    labels: NDArray[np.integer[Any]],
    decisions: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    classes: Sequence[str] = CLASSES,
) -> Scores:
    """The scores of one evaluation set as plain numbers, without intervals.

    `accuracy`, `balanced_accuracy` (mean recall), `macro_f1` and the per-class `precision`,
    `recall` and `f1` (all 0 to 1) judge the decisions; `log_loss` (nats, from 0) judges the
    probabilities, which are clipped at the machine epsilon of their type (scikit-learn), so that
    a certain mistake costs 15.9 in float32 and not infinity. `support` and `num_cells` are counts.
    Means over classes and the per-class scores take the classes present among `labels`; the
    precision of a class that was never chosen is 0. `share_impossible`, the share of cells sent to
    classes that the set lacks, is there only where the set lacks classes.

    Raises:
        ValueError: no cells, or shapes that do not belong together.
        UserError: a probability is no finite number.
    """
    _check(labels, decisions, probabilities, classes)
    present = np.unique(labels)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, decisions, labels=present, zero_division=0
    )
    names = [classes[position] for position in present]
    result: Scores = {
        "num_cells": len(labels),
        "accuracy": float(accuracy_score(labels, decisions)),
        "balanced_accuracy": float(np.mean(recall)),
        "macro_f1": float(np.mean(f1)),
        "log_loss": float(log_loss(labels, probabilities, labels=np.arange(len(classes)))),
    }
    if len(present) < len(classes):
        result["share_impossible"] = float(np.mean(~np.isin(decisions, present)))
    result["recall"] = dict(zip(names, map(float, recall), strict=True))
    result["precision"] = dict(zip(names, map(float, precision), strict=True))
    result["f1"] = dict(zip(names, map(float, f1), strict=True))
    result["support"] = dict(zip(names, map(int, support), strict=True))
    return result


def value(score: Any) -> float:
    """The number of a score in metrics.json, whether it has an interval or not."""
    return float(score["value"] if isinstance(score, Mapping) else score)


def confusion(
    labels: NDArray[np.integer[Any]], decisions: NDArray[np.integer[Any]], num_classes: int
) -> NDArray[np.int64]:
    """Counts (K, K): row = true class, column = decision; all classes, present or not."""
    counts: NDArray[np.int64] = confusion_matrix(labels, decisions, labels=np.arange(num_classes))
    return counts.astype(np.int64)


def metrics_json(metrics: Mapping[str, Scores]) -> str:
    """The text of metrics.json: {set: scores}, floats to 6 decimals, order as given."""
    return json.dumps(_rounded(metrics), indent=2, allow_nan=False) + "\n"


def predictions_table(
    cells: pd.DataFrame,
    decisions: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    classes: Sequence[str] = CLASSES,
) -> pd.DataFrame:
    """Every decision: columns path, set, group, label, predicted, p_<class> for each class.

    `cells` are rows of the pixel store's index (path, split, group, label) in the order of
    `decisions` (N,) and `probabilities` (N, K); the set is the row's `split`. Probabilities are
    rounded to 6 decimals, so a row may miss 1 by some millionths.

    Raises:
        ValueError: numbers of rows that differ.
    """
    if not len(cells) == len(decisions) == len(probabilities):
        raise ValueError(
            f"{len(cells)} cells, {len(decisions)} decisions, {len(probabilities)} probabilities"
        )
    table = pd.DataFrame(
        {
            "path": cells["path"].to_numpy(),
            "set": cells["split"].to_numpy(),
            "group": cells["group"].to_numpy(),
            "label": cells["label"].to_numpy(),
            "predicted": [classes[decision] for decision in decisions],
        }
    )
    rounded = np.round(probabilities.astype(np.float64), NUM_DECIMALS)
    for position, name in enumerate(classes):
        table[f"p_{name}"] = rounded[:, position]
    return table


def confusion_table(predictions: pd.DataFrame, evaluation_set: str) -> pd.DataFrame:
    """One row a cell of one set, columns actual and predicted, as DVC's confusion template counts.

    `predictions` is what `predictions_table` returned.
    """
    rows = predictions[predictions["set"] == evaluation_set]
    table = rows[["label", "predicted"]].rename(columns={"label": "actual"})
    return table.reset_index(drop=True)


def choose_mistakes(
    predictions: pd.DataFrame, limit: int = 40, classes: Sequence[str] = CLASSES
) -> NDArray[np.int64]:
    """Positions (at most `limit`) of the wrong rows that a contact sheet should show.

    `predictions` are the rows of one set of predictions.csv. The types take turns, so that a rare
    one is seen beside a common one; of each type the surest mistakes come first. The positions
    are in order of true type, then of falling probability, then of path.
    """
    wrong = predictions.reset_index(drop=True)
    wrong = wrong[wrong["label"] != wrong["predicted"]].copy()
    wrong["type"] = [classes.index(label) for label in wrong["label"]]
    wrong["sure"] = decided_probability(wrong)
    wrong = wrong.sort_values(["type", "sure", "path"], ascending=[True, False, True])
    wrong["turn"] = wrong.groupby("type").cumcount()
    chosen = wrong.sort_values("turn", kind="stable").head(limit)
    chosen = chosen.sort_values(["type", "turn"])
    return np.array(chosen.index, dtype=np.int64)


def decided_probability(predictions: pd.DataFrame) -> list[float]:
    """Of each row of predictions.csv, the probability of the class that was decided on."""
    return [row[f"p_{row['predicted']}"] for row in predictions.to_dict("records")]


def _check(
    labels: NDArray[np.integer[Any]],
    decisions: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    classes: Sequence[str],
) -> None:
    if len(labels) == 0:
        raise ValueError("an evaluation set without cells has no scores")
    if len(decisions) != len(labels) or probabilities.shape != (len(labels), len(classes)):
        raise ValueError(
            f"{len(labels)} labels, {len(decisions)} decisions and probabilities of shape"
            f" {probabilities.shape} do not belong together for {len(classes)} classes"
        )
    num_broken = int(np.sum(~np.isfinite(probabilities).all(axis=1)))
    if num_broken:
        raise UserError(
            f"The model should give probabilities, but for {num_broken} of {len(labels)} cells it"
            " gives no finite number; lower train.learning_rate and run `dvc repro` again."
        )


def significant(p: float, digits: int = 3) -> float:
    """A p-value to its first digits: decimals would make a small one 0, which none is."""
    return float(f"{p:.{digits}g}")


def _rounded(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {
            name: significant(value) if str(name).startswith("p_value") else _rounded(value)
            for name, value in tree.items()
        }
    return round(tree, NUM_DECIMALS) if isinstance(tree, float) else tree
