"""Intervals of scores: right values, never too narrow, of the right width over smears."""

import time

import numpy as np
import pytest
from scipy.stats import bootstrap, norm, t
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
)

from wbc import calibration, ece_interval, intervals, resampling
from wbc.binomial import clopper_pearson
from wbc.intervals import Judged, limits_of_counts, score_intervals
from wbc.smears import weights

SHARES = np.array([0.61, 0.24, 0.07, 0.055, 0.025])
SCORES = {"accuracy", "balanced_accuracy", "macro_f1", "mcc", "ece", "brier", "ece_uncalibrated"}


def judged(num_cells: int, accuracy: float, seed: int = 1) -> Judged:
    draw = np.random.default_rng(seed)
    labels = np.sort(draw.choice(5, num_cells, p=SHARES))
    wrong = draw.random(num_cells) > accuracy
    return decided(labels, np.where(wrong, (labels + draw.integers(1, 5, num_cells)) % 5, labels))


def decided(labels: np.ndarray, decisions: np.ndarray) -> Judged:
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 1, (len(labels), 5)) + 4 * np.eye(5)[decisions]
    plain, sharp = (np.exp(each) for each in (logits, 2 * logits))
    plain, sharp = (each / each.sum(axis=1, keepdims=True) for each in (plain, sharp))
    return Judged(labels, decisions, plain, sharp)


def test_values_are_scikit_learns() -> None:
    cells = judged(300, 0.8)
    found = {name: score["value"] for name, score in score_intervals(cells, None).items()}
    assert set(found) == SCORES
    assert found["accuracy"] == pytest.approx(accuracy_score(cells.labels, cells.decisions))
    expected = balanced_accuracy_score(cells.labels, cells.decisions)
    assert found["balanced_accuracy"] == pytest.approx(expected)
    expected = f1_score(cells.labels, cells.decisions, average="macro")
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["mcc"] == pytest.approx(matthews_corrcoef(cells.labels, cells.decisions))
    for name, p in (("ece", cells.calibrated), ("ece_uncalibrated", cells.uncalibrated)):
        confidence = calibration.confidences(p, cells.decisions)
        assert found[name] == pytest.approx(calibration.ece(confidence, cells.right))
    assert found["brier"] == pytest.approx(calibration.brier(cells.calibrated, cells.labels))


def test_means_are_over_the_classes_present() -> None:
    cells = decided(np.array([0, 0, 1, 1]), np.array([0, 3, 1, 1]))
    scores = score_intervals(cells, None)
    assert scores["balanced_accuracy"]["value"] == pytest.approx(0.75)
    assert scores["macro_f1"]["value"] == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("smears", [None, np.arange(400) % 40])
def test_every_interval_holds_its_value(smears: np.ndarray | None) -> None:
    for accuracy in (0.3, 0.9, 0.99):
        for name, score in score_intervals(judged(400, accuracy), smears).items():
            assert score["low"] <= score["value"] <= score["high"], name
            assert 0 <= score["low"] < score["high"] <= (2 if name == "brier" else 1), name


@pytest.mark.parametrize("size", range(2, 7))
def test_every_interval_of_a_tiny_set_holds_its_value(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ece_interval, "NUM_SIMULATED", 50)
    for seed in range(40):
        draw = np.random.default_rng(seed)
        labels, decisions = draw.integers(0, 5, size), draw.integers(0, 5, size)
        for smears in (None, np.arange(size) % 2, np.zeros(size, np.int64)):
            for name, score in score_intervals(decided(labels, decisions), smears).items():
                assert score["low"] <= score["value"] <= score["high"], name
                least, most = {"mcc": (-1, 1), "brier": (0, 2)}.get(name, (0, 1))
                assert least <= score["low"] and score["high"] <= most, name


def test_one_smear_means_cells() -> None:
    cells = judged(60, 0.8)
    one = score_intervals(cells, np.zeros(60, np.int64))
    assert one == score_intervals(cells, None)


def test_where_cells_are_many_it_is_scipys_bootstrap() -> None:
    cells = judged(4000, 0.9)
    theirs = bootstrap(
        (cells.right.astype(float),), np.mean, n_resamples=2000, method="percentile", rng=0
    ).confidence_interval
    ours = score_intervals(cells, None)["accuracy"]
    assert [ours["low"], ours["high"]] == pytest.approx([*theirs], abs=0.0015)


def test_no_mistake_is_not_certainty() -> None:
    labels = np.repeat(np.arange(5), [40, 30, 12, 10, 8])
    scores = score_intervals(decided(labels, labels), None)
    assert scores["accuracy"]["low"] == pytest.approx(clopper_pearson(100, 100)[0])
    for name in ("balanced_accuracy", "macro_f1", "mcc"):
        assert scores[name]["high"] == 1.0
        # Less sure than the accuracy of all cells, surer than that of the rarest class.
        assert clopper_pearson(8, 8)[0] < scores[name]["low"] < scores["accuracy"]["low"]


def test_mistakes_that_were_seen_exclude_perfection() -> None:
    labels = np.repeat(np.arange(5), 60)
    decisions = labels.copy()
    decisions[[0, 70]] = 4
    scores = score_intervals(decided(labels, decisions), None)
    assert all(scores[name]["high"] < 1 for name in intervals.COUNTED)
    assert scores["accuracy"]["high"] == pytest.approx(clopper_pearson(298, 300)[1], abs=1e-6)
    # Both mistakes in one smear of two, whose weight is next to nothing in some replicates.
    together = score_intervals(decided(labels, decisions), (decisions != labels).astype(np.int64))
    assert all(together[name]["high"] < 1 for name in intervals.COUNTED)


def test_mover_is_zou_and_donners_for_balanced_accuracy() -> None:
    counts = np.array([[90.0, 10], [5, 45]])
    low, high = limits_of_counts(counts)["balanced_accuracy"]
    below, above = intervals.wilson(np.array([90.0, 45]), np.array([100.0, 50]))
    assert low == pytest.approx(0.9 - np.hypot(0.9 - below[0], 0.9 - below[1]) / 2)
    assert high == pytest.approx(0.9 + np.hypot(above[0] - 0.9, above[1] - 0.9) / 2)


def test_smears_that_differ_widen_the_interval() -> None:
    labels = np.repeat(np.arange(5), 80)
    smears = np.arange(400) % 20
    decisions = np.where(smears % 4 == 0, (labels + 1) % 5, labels)  # whole smears go wrong
    cells = decided(labels, decisions)
    alone, together = (score_intervals(cells, known) for known in (None, smears))
    for name in ("accuracy", "balanced_accuracy", "ece", "brier"):
        widths = [each[name]["high"] - each[name]["low"] for each in (alone, together)]
        assert widths[1] > 2 * widths[0], name


def test_few_smears_reach_further_into_the_tails() -> None:
    assert resampling.tail(0) == resampling.tail(1) == pytest.approx(0.025)
    assert resampling.tail(5) < resampling.tail(10) < resampling.tail(1000) < 0.025
    assert resampling.tail(1000) == pytest.approx(0.025, rel=0.02)


@pytest.mark.parametrize("number", [4, 8, 20])
def test_the_tails_make_the_draws_as_wide_as_students_t(number: int) -> None:
    values = np.random.default_rng(1).normal(size=number)
    means = weights(np.random.default_rng(2), 40_000, number) @ values / number
    half = -norm.ppf(resampling.tail(number)) * means.std()
    expected = t.ppf(0.975, number - 1) * values.std(ddof=1) / np.sqrt(number)
    assert half == pytest.approx(expected, rel=0.02)


def test_the_same_decisions_have_the_same_intervals_in_seconds() -> None:
    cells = judged(4339, 0.96)
    start = time.monotonic()
    first = score_intervals(cells, None)
    assert time.monotonic() - start < 4  # 0.4 s alone on the machine
    assert score_intervals(cells, None) == first


@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_nineteen_of_twenty_intervals_hold_the_truth(
    spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small version of benchmarks/coverage.py."""
    from benchmarks.coverage import Case, covered

    monkeypatch.setattr(resampling, "NUM_REPLICATES", 200)
    monkeypatch.setattr(ece_interval, "NUM_SIMULATED", 100)
    smears = 30 if spread else 0
    case = Case(num_cells=200, recalls=(0.97, 0.95, 0.9, 0.8, 0.9), num_smears=smears, icc=spread)
    hits = list(covered(case, 60))
    for name in ("accuracy", "balanced_accuracy", "ece", "ece_uncalibrated"):
        share = np.mean([hit[name] for hit in hits])
        assert 0.88 <= share <= 1, name
