"""ROC, precision-recall and risk-coverage: areas, thin tables, sets without curves."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, average_precision_score

from wbc import curves
from wbc.cells import CLASSES


def drawn(num_cells: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(2)
    labels = draw.choice(5, num_cells, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    logits = draw.normal(0, 1, (num_cells, 5)) + 1.5 * np.eye(5)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_thinned_tables_keep_their_areas_and_ends() -> None:
    labels, probabilities = drawn()
    auroc, average_precision = curves.areas(labels, probabilities)
    roc = curves.roc_table(labels, probabilities)
    pr = curves.pr_table(labels, probabilities)
    assert np.isfinite(roc.drop(columns="class").to_numpy()).all()
    for name in CLASSES:
        own = roc[roc["class"] == name]
        assert 50 < len(own) <= curves.NUM_POINTS
        assert auc(own["fpr"], own["tpr"]) == pytest.approx(auroc[name], abs=0.005)
        assert list(own.iloc[[0, -1]]["fpr"]) == [0, 1]
        own = pr[pr["class"] == name]
        assert len(own) <= curves.NUM_POINTS and own["recall"].iloc[0] == 1
        assert own["recall"].iloc[-1] == 0
        assert steps(own) == pytest.approx(average_precision[name], abs=0.005)


def steps(table: pd.DataFrame) -> float:
    """The area under a table as matplotlib's steps-post draws it: each y down to the next x."""
    return float(-(table["recall"].diff().iloc[1:] * table["precision"].to_numpy()[:-1]).sum())


def test_the_area_of_a_short_curve_is_exactly_scikit_learns() -> None:
    labels, probabilities = drawn(60)
    pr = curves.pr_table(labels, probabilities)
    for k, name in enumerate(CLASSES):
        expected = average_precision_score(labels == k, probabilities[:, k])
        assert steps(pr[pr["class"] == name]) == pytest.approx(expected)


def test_a_class_without_both_outcomes_has_no_curve() -> None:
    labels, probabilities = np.array([1, 1, 2]), np.full((3, 5), 0.2)
    assert set(curves.areas(labels, probabilities)[0]) == {CLASSES[1], CLASSES[2]}
    only = np.array([1, 1, 1])
    assert curves.areas(only, probabilities) == ({}, {})
    assert len(curves.roc_table(only, probabilities)) == 0
    assert list(curves.pr_table(only, probabilities)) == [
        "class",
        "threshold",
        "recall",
        "precision",
    ]


def test_risk_coverage_by_hand() -> None:
    confidence = np.array([0.6, 0.9, 0.8, 0.7])
    right = np.array([False, True, True, False])
    assert list(curves.risks(confidence, right)) == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curves.aurc(confidence, right) == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert curves.selective_accuracy(confidence, right) == pytest.approx(
        {"0.95": 0.5, "0.9": 0.5, "0.8": 0.5, "0.5": 1.0}
    )


def test_equal_confidence_gives_the_order_of_files_no_say() -> None:
    right = np.array([True, False, True, False])
    for order in ([0, 1, 2, 3], [1, 3, 0, 2]):
        assert list(curves.risks(np.full(4, 0.5), right[order])) == pytest.approx([0.5] * 4)


def test_a_large_set_has_a_short_risk_table() -> None:
    labels, probabilities = drawn()
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    table = curves.risk_table(confidence, right)
    assert len(table) == curves.NUM_POINTS and table["coverage"].iloc[-1] == 1
    assert table["risk"].iloc[-1] == pytest.approx(1 - right.mean())
    assert table["threshold"].is_monotonic_decreasing


def test_refusing_the_least_certain_fifth() -> None:
    confidence = np.array([0.9, 0.3, 0.8, 0.2, 0.7, 0.6, 0.5, 0.95, 0.85, 0.75])
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    right = np.array([1, 0, 1, 1, 1, 0, 1, 1, 1, 1], dtype=bool)
    assert curves.refused(confidence, right, labels) == {
        "refused_cells": 2,
        "refused_errors": 1,
        "kept_cells": 8,
        "kept_errors": 1,
        "after_all": pytest.approx(0.8),
        "after_kept": pytest.approx((1 + 0.8) / 2),
    }
