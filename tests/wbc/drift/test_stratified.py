"""wbc.drift.stratified: two groups compared within classes, against other implementations."""

import math

import numpy as np
import pytest
from scipy import stats

from wbc.drift import stratified
from wbc.drift.stratified import Group, holm, more_flagged, other_mix, van_elteren

RNG = np.random.default_rng(7)


def group(values: np.ndarray, k: int = 0) -> Group:
    return Group(values.astype(np.float64), np.full(len(values), k))


def both(*groups: Group) -> Group:
    return Group(
        np.concatenate([g.values for g in groups]), np.concatenate([g.classes for g in groups])
    )


@pytest.mark.parametrize("digits", [6, 0])  # few ties, many ties
def test_with_one_class_it_is_the_test_of_mann_and_whitney(digits: int) -> None:
    here, there = RNG.normal(0.4, 1, 60).round(digits), RNG.normal(0, 1, 90).round(digits)
    found = van_elteren(group(here), group(there))
    for ours, side in (("larger", "greater"), ("smaller", "less"), ("other", "two-sided")):
        scipy = stats.mannwhitneyu(
            here, there, use_continuity=False, alternative=side, method="asymptotic"
        )
        assert getattr(found, ours) == pytest.approx(scipy.pvalue, rel=1e-9), side
    assert found.auroc == pytest.approx(scipy.statistic / (60 * 90))


def test_another_mix_of_classes_is_no_difference() -> None:
    """Pooled, the groups lie far apart; within the classes they do not."""
    here = both(group(RNG.normal(0, 1, 80), 0), group(RNG.normal(5, 1, 20), 1))
    there = both(group(RNG.normal(0, 1, 20), 0), group(RNG.normal(5, 1, 80), 1))
    assert stats.mannwhitneyu(here.values, there.values).pvalue < 1e-6
    found = van_elteren(here, there)
    assert found.other > 0.05 and abs(found.auroc - 0.5) < 0.1


def test_a_difference_within_each_class_is_seen_in_any_mix() -> None:
    here = both(group(RNG.normal(1, 1, 80), 0), group(RNG.normal(6, 1, 20), 1))
    there = both(group(RNG.normal(0, 1, 20), 0), group(RNG.normal(5, 1, 80), 1))
    found = van_elteren(here, there)
    assert found.larger < 1e-4
    assert found.auroc == pytest.approx(stats.norm.cdf(1 / math.sqrt(2)), abs=0.1)


def test_classes_of_one_side_say_nothing() -> None:
    found = van_elteren(group(np.ones(9), 0), group(np.zeros(9), 1))
    assert math.isnan(found.auroc) and found.other == 1
    assert more_flagged(group(np.ones(9), 0), group(np.zeros(9), 1)) == 1
    assert math.isnan(stratified.standard_error(np.zeros(9, int), np.ones(9, int)))


def test_values_that_are_all_equal_are_no_difference() -> None:
    found = van_elteren(group(np.ones(9)), group(np.ones(20)))
    assert (found.auroc, found.other) == (0.5, 1)


def test_the_standard_error_is_that_of_the_pairs_share() -> None:
    shares = [
        van_elteren(both(group(RNG.normal(size=30), 0), group(RNG.normal(size=10), 1)),
                    both(group(RNG.normal(size=20), 0), group(RNG.normal(size=50), 1))).auroc
        for _ in range(400)
    ]  # fmt: skip
    classes = np.repeat([0, 1], [30, 10]), np.repeat([0, 1], [20, 50])
    assert stratified.standard_error(*classes) == pytest.approx(np.std(shares), rel=0.15)


def test_with_one_class_flags_are_fishers_exact_test() -> None:
    here, there = group(np.arange(50) < 9), group(np.arange(180) < 4)
    expected = stats.fisher_exact([[9, 41], [4, 176]], alternative="greater").pvalue
    assert more_flagged(here, there) == pytest.approx(expected)


def test_flags_of_two_classes_add_up() -> None:
    here = both(group(np.arange(10) < 3, 0), group(np.arange(20) < 2, 1))
    there = both(group(np.arange(40) < 2, 0), group(np.arange(30) < 3, 1))
    laws = stats.hypergeom(50, 5, 10), stats.hypergeom(50, 5, 20)
    expected = sum(
        laws[0].pmf(a) * laws[1].pmf(b) for a in range(6) for b in range(6) if a + b >= 5
    )
    assert more_flagged(here, there) == pytest.approx(expected)


def test_all_cells_of_a_class_that_is_usually_flagged_are_no_drift() -> None:
    """One class is always far, the other never: only the mix has changed."""
    here = both(group(np.ones(80), 0), group(np.zeros(20), 1))
    there = both(group(np.ones(20), 0), group(np.zeros(80), 1))
    assert more_flagged(here, there) == pytest.approx(1)


def test_a_mix_has_the_p_of_chi_squared_where_cells_are_many() -> None:
    here, there = np.array([40, 30, 30, 0]), np.array([60, 80, 60, 0])
    expected = stats.chi2_contingency([here[:3], there[:3]]).pvalue
    assert other_mix(here, there) == pytest.approx(expected, abs=0.02)
    assert other_mix(here, there) == other_mix(here, there)
    assert other_mix(np.array([90, 5, 5]), there[:3]) == 1e-4
    assert other_mix(np.array([3, 4, 3]), np.array([30, 40, 30])) == 1
    assert other_mix(np.array([5, 0]), np.array([0, 0])) == 1


def test_holm_by_hand() -> None:
    assert np.allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])
    assert holm(np.array([0.5, 0.9])).max() == 1


def test_the_reference_gets_the_folders_mix() -> None:
    weights = stratified.like_mix(np.array([0, 0, 0, 1, 2]), np.array([0, 1, 1, 3]))
    assert np.allclose(weights, [0.75, 0.125, 0.125, 0])
    assert stratified.weighted_median(np.array([9.0, 1.0, 2.0, 0.0]), weights) == 9
    assert stratified.weighted_median(np.array([1.0, 2.0, 3.0, 4.0]), np.full(4, 0.25)) == 2
    nothing = stratified.like_mix(np.array([0]), np.array([1]))
    assert math.isnan(stratified.weighted_median(np.array([1.0]), nothing))
