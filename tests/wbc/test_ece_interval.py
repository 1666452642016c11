"""The interval of the calibration error: 0 where chance explains it, wide where cells are few."""

import time

import numpy as np
import pytest

from wbc import calibration, ece_interval, intervals
from wbc.ece_interval import Bins, bins_of, design_effect


def bins(counts: list[int], confidence: list[float], accuracy: list[float]) -> Bins:
    return Bins(np.array(counts), np.array(confidence), np.array(accuracy))


def test_bins_give_the_error_itself() -> None:
    draw = np.random.default_rng(1)
    sure, right = draw.uniform(0.3, 1, 200), draw.random(200) < 0.7
    found = bins_of(sure, right)
    assert found.num_cells.min() > 0
    assert float(found.ece(found.accuracy)) == pytest.approx(calibration.ece(sure, right))


def test_what_chance_explains_may_be_perfect_and_what_it_does_not_is_not() -> None:
    low, high = ece_interval.ece_interval(bins([100, 200], [0.8, 0.95], [0.83, 0.94]))
    assert low == 0 and 0.03 < high < 0.08  # the estimate is 0.017
    low, high = ece_interval.ece_interval(bins([100, 200], [0.8, 0.95], [0.6, 0.7]))
    assert 0.15 < low < 0.233 < high < 0.31


def test_all_right_may_still_be_too_sure() -> None:
    low, high = ece_interval.ece_interval(bins([40], [0.999], [1.0]))
    assert low == 0
    assert 0.999 - (1 - high) == pytest.approx(1 - 0.025 ** (1 / 40), abs=0.02)  # the rule of three


def test_smears_that_differ_widen_it() -> None:
    seen = bins([100, 200], [0.8, 0.95], [0.6, 0.7])
    alone, together = (ece_interval.ece_interval(seen, effect) for effect in (1.0, 9.0))
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    gaps = np.random.default_rng(1).normal(0, 0.1, (500, 15))
    expected = (100 * 0.24 + 200 * 0.21) / 300**2
    assert design_effect(seen, gaps) == pytest.approx(15 * 0.01 / expected, rel=0.2)
    assert design_effect(seen, gaps * 0) == 1


def test_of_a_well_calibrated_model_it_holds_zero_and_is_quick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The percentiles that were reflected before held 0 in half of these draws."""
    monkeypatch.setattr(ece_interval, "NUM_SIMULATED", 300)
    held, start = 0, time.monotonic()
    for seed in range(40):
        draw = np.random.default_rng(seed)
        sure = 1 - 0.7 * draw.beta(0.4, 3, 600)
        low, high = ece_interval.ece_interval(bins_of(sure, draw.random(600) < sure))
        held += low == 0
        assert 0.005 < high < 0.1
    assert held >= 36
    assert time.monotonic() - start < 20  # 1 s alone on the machine


def test_scores_take_it_and_repeat_it() -> None:
    draw = np.random.default_rng(2)
    labels = draw.integers(0, 5, 300)
    sure = np.full((300, 5), 0.05)
    sure[np.arange(300), labels] = 0.8
    judged = intervals.Judged(labels, labels, sure, sure)
    for smears in (None, np.arange(300) % 20):
        found = intervals.score_intervals(judged, smears)["ece"]
        assert found["low"] == pytest.approx(0.2, abs=0.02) and found["value"] == pytest.approx(0.2)
        assert found == intervals.score_intervals(judged, smears)["ece_uncalibrated"]
