"""The entry of one evaluation set in metrics.json: every score, with intervals where they are told.

Probabilities are the calibrated ones; `ece_uncalibrated` alone shows what the network itself gave.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wbc import calibration, curves
from wbc.binomial import clopper_pearson
from wbc.cells import CLASSES
from wbc.class_intervals import class_intervals
from wbc.intervals import Judged, score_intervals
from wbc.metrics import Scores, scores
from wbc.smears import FEW_SMEARS, number_of, several, smears_of

INTERVALS = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "ece", "brier", "ece_uncalibrated")
MACRO = ("auroc_macro", "average_precision_macro")


def set_scores(judged: Judged, cells: pd.DataFrame, classes: Sequence[str] = CLASSES) -> Scores:
    """All scores of one set, as described in docs/evaluation.md.

    Args:
        cells: the set's rows of the pixel store's index (source, group), in the same order.

    Raises:
        ValueError, UserError: as `metrics.scores`.
    """
    plain, smears = plain_scores(judged, classes), smears_of(cells)
    confidence = calibration.confidences(judged.calibrated, judged.decisions)
    told = class_intervals(plain, judged, smears, classes)
    result: Scores = {
        "num_cells": plain["num_cells"],
        "num_groups": number_of(smears),
        **_resampled(judged, smears),
        "log_loss": told["log_loss"],
    }
    result |= {name: told[name] for name in MACRO if name in told}
    result["aurc"] = told["aurc"]
    result["selective_accuracy"] = curves.selective_accuracy(confidence, judged.right)
    if "share_impossible" in plain:
        result["share_impossible"] = plain["share_impossible"]
    result["constant"] = constant_answer(judged.labels, classes)
    result["recall"] = _recalls(judged, classes)
    result |= {name: told[name] for name in ("precision", "f1", "auroc", "average_precision")}
    result["support"] = plain["support"]
    return result


def plain_scores(judged: Judged, classes: Sequence[str] = CLASSES) -> Scores:
    """The numbers of one set that `class_intervals` puts intervals around."""
    plain = scores(judged.labels, judged.decisions, judged.calibrated, classes)
    auroc, average_precision = curves.areas(judged.labels, judged.calibrated, classes)
    confidence = calibration.confidences(judged.calibrated, judged.decisions)
    return {
        **plain,
        "auroc": auroc,
        "average_precision": average_precision,
        "aurc": curves.aurc(confidence, judged.right),
    }


def constant_answer(labels: NDArray[np.integer[Any]], classes: Sequence[str]) -> dict[str, Any]:
    """What the strongest constant answer scores: the set's own most frequent class for all cells.

    Nobody who answers without looking can do better, not even one who knows the set.
    """
    counts = np.bincount(labels, minlength=len(classes))
    best = int(counts.argmax())
    return {
        "class": classes[best],
        "accuracy": float(counts[best] / counts.sum()),
        "balanced_accuracy": float(1 / np.count_nonzero(counts)),
    }


def _resampled(judged: Judged, smears: NDArray[np.int64] | None) -> dict[str, Any]:
    """What was resampled, a warning where that says little, and the scores with intervals."""
    num_smears, note = number_of(smears), ""
    if num_smears == 1:
        note = (
            "All cells come from one smear, so the intervals are over cells and know nothing of"
            " how smears differ."
        )
    elif 0 < num_smears < FEW_SMEARS:
        note = (
            f"The cells come from {num_smears} smears; with fewer than {FEW_SMEARS} an interval"
            " over smears is unreliable and often too narrow."
        )
    result: dict[str, Any] = {"interval": "cells" if several(smears) is None else "smears"}
    if note:
        result["interval_note"] = note
    intervals = score_intervals(judged, smears)
    return result | {name: intervals[name] for name in INTERVALS}


def _recalls(judged: Judged, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """{class: {value, low, high}} with exact intervals, as if cells were independent."""
    counts = judged.counts
    recalls = {}
    for k in np.flatnonzero(counts.sum(axis=1)).tolist():
        right, size = counts[k, k], counts[k].sum()
        low, high = clopper_pearson(right, size)
        value = float(right / size)
        recalls[classes[k]] = {"value": value, "low": float(low), "high": float(high)}
    return recalls
