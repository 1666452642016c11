"""ECE, Brier score and the reliability table, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from wbc import calibration


def test_ece_by_hand() -> None:
    confidence = np.array([0.9, 0.9, 0.5, 0.5])  # bins 14 and 8
    right = np.array([True, False, True, False])
    assert calibration.ece(confidence, right) == pytest.approx(0.5 * 0.4 + 0.5 * 0.0)
    table = calibration.reliability(confidence, right)
    assert len(table) == 15 and table["num_cells"].sum() == 4
    filled = table[table["num_cells"] > 0]
    assert list(filled["num_cells"]) == [2, 2]
    assert list(filled["confidence"]) == pytest.approx([0.5, 0.9])
    assert list(filled["accuracy"]) == [0.5, 0.5]


def test_bins_own_their_upper_edges() -> None:
    edges = np.array([0.0, 1 / 15, 0.0667, 14 / 15, 1.0])
    assert list(calibration.bin_of(edges)) == [0, 0, 1, 13, 14]


def test_ece_does_not_reward_sureness_in_the_wrong_place() -> None:
    honest = calibration.ece(np.full(100, 0.75), np.arange(100) % 4 > 0)
    boastful = calibration.ece(np.full(100, 0.99), np.arange(100) % 4 > 0)
    assert honest == pytest.approx(0) and boastful == pytest.approx(0.24)


def test_brier_is_the_sum_over_classes() -> None:
    share = np.array([0.9, 0.2, 0.6])
    labels = np.array([1, 0, 0])
    two = np.column_stack([1 - share, share])
    assert calibration.brier(two, labels) == pytest.approx(2 * brier_score_loss(labels, share))
    five = np.full((2, 5), 0.2)
    assert calibration.brier(five, np.array([0, 4])) == pytest.approx(0.8)
    many = brier_score_loss([0, 4], five, labels=[0, 1, 2, 3, 4], scale_by_half=False)
    assert calibration.brier(five, np.array([0, 4])) == pytest.approx(many)


def test_the_confidence_is_the_decisions_own() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    found = calibration.confidences(probabilities, np.array([1, 2]))
    assert list(found) == [0.3, 0.7]
