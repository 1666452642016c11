"""Intervals of a share: the values that a laboratory's tables have."""

import numpy as np
import pytest
from scipy.stats import binomtest

from wbc.binomial import clopper_pearson, wilson


@pytest.mark.parametrize(
    ("right", "size", "low", "high"),
    [
        (5, 100, 1.6, 11.3),  # Rümke's table for differential counts
        (10, 200, 2.4, 9.0),
        (20, 400, 3.1, 7.6),
        (240, 400, 55.0, 64.8),
        (0, 100, 0.0, 3.6),
        (100, 100, 96.4, 100.0),
    ],
)
def test_clopper_pearson_gives_ruemkes_table(
    right: int, size: int, low: float, high: float
) -> None:
    found = [round(100 * limit, 1) for limit in clopper_pearson(right, size)]
    assert found == [low, high]


def test_both_are_scipys_and_take_arrays() -> None:
    right, size = np.array([0.0, 3.0, 7.0, 10.0]), np.full(4, 10.0)
    for ours, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
        low, high = ours(right, size)
        theirs = [binomtest(int(x), 10).proportion_ci(0.95, method) for x in right]
        assert low == pytest.approx([each.low for each in theirs], abs=1e-9)
        assert high == pytest.approx([each.high for each in theirs], abs=1e-9)
