"""Adjusted counting gives back a mix, keeps what it knows nothing of, and says how sure it is."""

import numpy as np
import pytest

from wbc.adjusted_counts import adjust, adjusted_draws, rates
from wbc.counts import TAILS, rumke

PERFECT = np.diag([100] * 5)
# Half of the lymphocytes are taken for monocytes, and a tenth of the monocytes for lymphocytes.
MIXED_UP = np.diag([200, 100, 180, 200, 200])
MIXED_UP[1, 2], MIXED_UP[2, 1] = 100, 20


def test_adjusting_gives_back_the_mix_that_was_mixed_up() -> None:
    known = MIXED_UP / MIXED_UP.sum(axis=1, keepdims=True)
    mix = np.array([0.6, 0.3, 0.05, 0.04, 0.01])
    assert adjust(1000 * mix @ known, known) == pytest.approx(mix, abs=1e-3)


def test_a_count_that_no_mix_explains_stays_a_mix() -> None:
    known = MIXED_UP / MIXED_UP.sum(axis=1, keepdims=True)
    found = adjust(np.array([0, 90, 10, 0, 0]), known)  # half should have been monocytes
    assert found.sum() == pytest.approx(1) and found.min() >= 0
    assert found[1] == pytest.approx(1, abs=1e-3)


def test_types_that_cannot_be_told_apart_stay_as_counted() -> None:
    known = np.eye(5)
    known[1, [1, 2]] = known[2, [1, 2]] = 0.5
    found = adjust(np.array([50, 20, 20, 5, 5]), known)
    assert found == pytest.approx([0.5, 0.2, 0.2, 0.05, 0.05], abs=0.01)


def test_a_type_that_validation_lacks_keeps_its_count() -> None:
    validation = np.diag([100, 100, 0, 100, 100])
    known = rates(validation)
    assert known[2].tolist() == [0, 0, 1, 0, 0]
    assert known.sum(axis=1) == pytest.approx(np.ones(5))
    draws = adjusted_draws(np.array([50, 20, 20, 5, 5]), validation)
    assert draws.mean(axis=0)[2] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("num_each", [5, 36])
def test_without_errors_in_validation_counts_stay_as_they_are(num_each: int) -> None:
    counted = np.array([480, 300, 60, 20, 10])
    for present in ([1, 1, 1, 1, 1], [1, 1, 1, 1, 0]):
        validation = num_each * np.diag(present)
        found = 870 * adjust(counted, rates(validation))
        assert found == pytest.approx(counted, abs=1e-3)


def test_a_type_that_validation_lacks_has_rumkes_interval() -> None:
    """10 of 870 cells, beside 480 that might have leaked into them."""
    counted, validation = np.array([480, 300, 60, 20, 10]), np.diag([30, 30, 30, 30, 0])
    ends = np.quantile(adjusted_draws(counted, validation), TAILS, axis=0)[:, 4]
    assert 100 * ends == pytest.approx([end[4] for end in rumke(counted, 870)], abs=0.15)


def test_the_interval_of_a_rare_type_holds_its_count() -> None:
    validation, counted = 36 * np.eye(5, dtype=np.int64), np.array([600, 250, 100, 48, 2])
    found = adjusted_draws(counted, validation)[:, 4]
    assert np.quantile(found, 0.5) > 0.0005  # of a count of 0.002
    assert np.quantile(found, 0.975) > 2 * 0.002


def test_an_error_that_was_seen_in_a_lacking_type_is_taken_out() -> None:
    validation = np.diag([90, 100, 100, 100, 0])
    validation[0, 4] = 10
    found = adjust(np.array([90, 50, 30, 20, 10]), rates(validation))
    assert found == pytest.approx([0.5, 0.25, 0.15, 0.1, 0], abs=1e-3)


def test_what_no_type_is_ever_counted_as_stays_as_counted() -> None:
    validation = np.diag([36, 36, 36, 36, 0])
    validation[4, 1] = 5  # all basophils were taken for lymphocytes
    found = adjust(np.array([100, 60, 20, 10, 10]), rates(validation))
    assert found.sum() == pytest.approx(1)
    assert found[4] == pytest.approx(0.05, abs=0.005)


def test_the_adjusted_interval_covers_both_uncertainties() -> None:
    counted = np.array([60, 60, 60, 10, 10])
    width = []
    for validation in (1000 * PERFECT, 1000 * MIXED_UP, MIXED_UP // 10):
        low, high = np.quantile(adjusted_draws(counted, validation), TAILS, axis=0)
        width.append(100 * float(high[1] - low[1]))
    low, high = rumke(counted, 200)
    assert width[0] == pytest.approx(high[1] - low[1], rel=0.1)
    assert width[0] < width[1] < width[2]


def test_adjusted_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    known = np.full((5, 5), 0.02) + 0.9 * np.eye(5)
    mix, held = np.array([0.3, 0.3, 0.2, 0.1, 0.1]), []
    for _ in range(60):
        validation = np.stack([rng.multinomial(80, row) for row in known])
        counted = rng.multinomial(300, mix @ known)
        low, high = np.quantile(adjusted_draws(counted, validation, 300), TAILS, 0)
        held.append((low <= mix) & (mix <= high))
    assert 0.90 <= np.mean(held) <= 0.99
