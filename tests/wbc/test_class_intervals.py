"""Intervals of single classes, areas and log loss: the values stay, nothing is certain, formulas
are those of their sources."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import log_loss, precision_score, roc_auc_score

from tests.wbc.test_intervals import decided, judged
from wbc import class_intervals as intervals
from wbc import resampling
from wbc.binomial import clopper_pearson
from wbc.cells import CLASSES
from wbc.intervals import Judged
from wbc.scoring import plain_scores

TREES = ("precision", "f1", "auroc", "average_precision")
NUMBERS = ("auroc_macro", "average_precision_macro", "log_loss", "aurc")


def found(cells: Judged, smears: np.ndarray | None = None) -> dict[str, Any]:
    return intervals.class_intervals(plain_scores(cells), cells, smears, CLASSES)


def all_of(scores: dict[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    for name in TREES:
        yield from ((f"{name} {label}", score) for label, score in scores[name].items())
    yield from ((name, scores[name]) for name in NUMBERS if name in scores)


def test_values_are_the_plain_ones() -> None:
    cells = judged(300, 0.8)
    plain, scores = plain_scores(cells), found(cells)
    for name in TREES:
        assert {label: score["value"] for label, score in scores[name].items()} == plain[name]
    assert scores["log_loss"]["value"] == plain["log_loss"]
    assert scores["aurc"]["value"] == plain["aurc"]
    assert scores["auroc_macro"]["value"] == np.mean(list(plain["auroc"].values()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_losses_have_scikit_learns_mean(dtype: type) -> None:
    probabilities = np.array([[1, 0, 0], [0.5, 0.25, 0.25], [0, 1, 0]], dtype)
    labels = np.array([0, 1, 2])
    mean = intervals.log_losses(probabilities, labels).mean()
    assert mean == pytest.approx(log_loss(labels, probabilities), rel=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_every_interval_of_a_tiny_set_holds_its_value(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, "NUM_REPLICATES", 60)
    for seed in range(15):
        draw = np.random.default_rng(seed)
        cells = decided(draw.integers(0, 5, size), draw.integers(0, 5, size))
        for smears in (None, np.arange(size) % 2, np.zeros(size, np.int64)):
            for name, score in all_of(found(cells, smears)):
                most = np.inf if name == "log_loss" else 1
                assert 0 <= score["low"] <= score["value"] <= score["high"] <= most, name
                assert score["low"] < score["high"], name


@pytest.mark.parametrize("smears", [None, np.arange(100) % 10])
def test_no_mistake_is_not_certainty(smears: np.ndarray | None) -> None:
    labels = np.repeat(np.arange(5), [40, 30, 14, 10, 6])
    scores = found(decided(labels, labels), smears)
    for name, score in all_of(scores):
        if name != "log_loss" and name != "aurc":
            assert score["value"] == pytest.approx(1) == score["high"], name
            assert score["low"] < 0.98, name
    assert scores["precision"]["basophil"]["low"] == pytest.approx(clopper_pearson(6, 6)[0])
    assert scores["f1"]["basophil"]["low"] == pytest.approx(2 * 0.5407 / 1.5407, abs=1e-4)
    assert scores["aurc"]["low"] == scores["aurc"]["value"] == 0
    assert 0.037 < scores["aurc"]["high"] < 0.06  # Poisson's 3.7 / N, more as costs differ
    assert scores["log_loss"]["high"] > 2 * scores["log_loss"]["value"]


def test_what_was_never_said_may_be_anything() -> None:
    score = found(decided(np.array([0, 0, 1]), np.array([0, 0, 0])))["precision"]["lymphocyte"]
    assert score == {"value": 0.0, "low": 0.0, "high": 1.0}


def test_replicates_that_lack_the_cells_do_not_hide_the_others() -> None:
    replicates = np.array([np.nan, *np.linspace(0.1, 0.9, 81)])
    score = intervals._interval(0.5, replicates, (0.3, 0.7), 0.025)
    assert (score["low"], score["high"]) == pytest.approx((0.12, 0.88))


def test_mistakes_that_were_seen_exclude_perfection() -> None:
    labels = np.repeat(np.arange(5), 60)
    decisions = labels.copy()
    decisions[[0, 70]] = 4
    for smears in (None, (decisions != labels).astype(np.int64)):
        scores = found(decided(labels, decisions), smears)
        assert 0.99 < scores["f1"]["neutrophil"]["high"] < 1
        assert scores["precision"]["basophil"]["high"] < 1
        assert scores["aurc"]["low"] > 0


def test_where_cells_are_many_they_are_scipys_bootstraps() -> None:
    cells = judged(3000, 0.8)
    scores = found(cells)
    own = cells.labels == 1
    parts = [cells.calibrated[own, 1], cells.calibrated[~own, 1]]

    def area(above: np.ndarray, below: np.ndarray) -> float:
        truth = np.repeat([1, 0], [len(above), len(below)])
        return float(roc_auc_score(truth, np.concatenate([above, below])))

    theirs = bootstrap(
        parts, area, n_resamples=500, method="percentile", vectorized=False, rng=0
    ).confidence_interval
    ours = scores["auroc"]["lymphocyte"]
    assert [ours["low"], ours["high"]] == pytest.approx([*theirs], abs=0.003)

    draw, drawn = np.random.default_rng(1), []
    for _ in range(500):
        some = draw.integers(0, 3000, 3000)
        truth, said = cells.labels[some] == 1, cells.decisions[some] == 1
        drawn.append(precision_score(truth, said))
    ours = scores["precision"]["lymphocyte"]
    expected = np.quantile(drawn, [0.025, 0.975])
    assert [ours["low"], ours["high"]] == pytest.approx(expected, abs=0.006)


def test_smears_that_differ_widen_the_interval() -> None:
    labels = np.repeat(np.arange(5), 80)
    smears = np.arange(400) % 20
    decisions = np.where(smears % 4 == 0, (labels + 1) % 5, labels)  # whole smears go wrong
    cells = decided(labels, decisions)
    alone, together = (dict(all_of(found(cells, known))) for known in (None, smears))
    for name in ("precision monocyte", "f1 monocyte", "auroc_macro", "log_loss", "aurc"):
        widths = [each[name]["high"] - each[name]["low"] for each in (alone, together)]
        assert widths[1] > 1.5 * widths[0], name


def test_f1_is_a_share_of_the_cells_concerned() -> None:
    low, high = clopper_pearson(8, 12)  # 8 found of 10, and 2 more named so
    expected = [2 * low / (1 + low), 2 * high / (1 + high)]
    assert [*intervals.f1_limits(8, 10, 10)] == pytest.approx(expected)


def test_areas_limits_are_newcombes_method_5() -> None:
    for value, num_own, num_rest in ((0.9, 20, 30), (1.0, 6, 94), (0.5, 1, 1), (0.0, 3, 9)):
        limits = intervals.auroc_limits(value, num_own, num_rest)
        for limit in limits:
            if limit in (0.0, 1.0):
                assert limit == value
                continue
            size = (num_own + num_rest) / 2  # his N; the variance as in his appendix
            alike = 2 * size - 1 - (3 * size - 3) / ((2 - limit) * (1 + limit))
            error = np.sqrt(limit * (1 - limit) * alike / (num_own * num_rest))
            assert abs(limit - value) == pytest.approx(1.959964 * error, rel=1e-5)
    below, above = intervals.auroc_limits(0.9, 20, 30)
    mirrored = intervals.auroc_limits(0.1, 30, 20)
    assert mirrored == pytest.approx((1 - above, 1 - below))


def test_mistakes_of_equal_cost_have_poissons_exact_interval() -> None:
    right = np.arange(1000) >= 5
    low, high = intervals.aurc_limits(np.full(1000, 1e-3), right)
    assert (1000 * low, 1000 * high) == pytest.approx((1.623, 11.668), abs=1e-3)  # Garwood, 5
    assert intervals.aurc_limits(np.full(1000, 1e-3), np.full(1000, True)) == (
        0.0, pytest.approx(3.689e-3, abs=1e-6),
    )  # fmt: skip


def test_average_precision_is_as_sure_as_the_cells_to_be_found_are_many() -> None:
    few, many = (intervals.average_precision_limits(1.0, n) for n in (6, 600))
    assert few == pytest.approx((6 / (6 + 1.96**2), 1), abs=1e-4)  # Wilson's, of 6 of 6
    assert 0.99 < many[0] < many[1] == 1


def test_the_same_decisions_have_the_same_intervals_in_seconds() -> None:
    cells = judged(4339, 0.96)
    start = time.monotonic()
    first = found(cells)
    assert time.monotonic() - start < 15  # 1.7 s alone on the machine
    assert found(cells) == first


@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_nineteen_of_twenty_intervals_hold_the_truth(
    spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small version of benchmarks/coverage.py."""
    from benchmarks import coverage

    monkeypatch.setattr(resampling, "NUM_REPLICATES", 150)
    monkeypatch.setattr(coverage, "MANY", 100_000)
    smears = 30 if spread else 0
    case = coverage.Case(200, (0.97, 0.95, 0.9, 0.8, 0.9), smears, spread)
    hits = list(coverage.covered_classes(case, 40))
    for name in coverage.OF_CLASSES:
        share = np.mean([hit[name] for hit in hits])
        assert 0.85 <= share <= 1, name
