"""Areas for weights are those of a set in which every cell lies as often as it weighs."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from wbc import curves
from wbc.ranking import areas, ranking, risk_areas, risk_costs

DRAW = np.random.default_rng(7)
OWN = np.array([True] * 6 + [False] * 34)
SCORES = {
    "distinct": DRAW.permutation(40) + 12.5 * OWN,
    "tied": DRAW.integers(0, 6, 40) + 2.0 * OWN,
    "all equal": np.ones(40),
    "perfect": np.where(OWN, 1.0, 0.0),
}
WEIGHTS = np.vstack([np.ones(40), DRAW.integers(0, 4, (30, 40)), DRAW.dirichlet(np.ones(40), 5)])
WEIGHTS[:, [0, 20]] += 1  # some cell of either kind


@pytest.mark.parametrize("name", SCORES)
def test_areas_are_scikit_learns_with_sample_weights(name: str) -> None:
    scores = SCORES[name]
    auroc, average_precision = areas(ranking(scores), OWN, WEIGHTS)
    for row, weights in enumerate(WEIGHTS):
        expected = roc_auc_score(OWN, scores, sample_weight=weights)
        assert auroc[row] == pytest.approx(expected), row
        expected = average_precision_score(OWN, scores, sample_weight=weights)
        assert average_precision[row] == pytest.approx(expected), row


@pytest.mark.parametrize("name", SCORES)
def test_the_risk_area_is_that_of_curves(name: str) -> None:
    scores, right = SCORES[name], DRAW.random(40) > 0.3
    found = risk_areas(ranking(scores), right, np.vstack([np.ones(40), np.full(40, 0.25)]))
    assert found == pytest.approx([curves.aurc(scores, right)] * 2)


@pytest.mark.parametrize("name", SCORES)
def test_the_risk_area_is_the_sum_of_what_mistakes_cost(name: str) -> None:
    scores, right = SCORES[name], DRAW.random(40) > 0.3
    costs = risk_costs(ranking(scores))
    assert costs[~right].sum() == pytest.approx(curves.aurc(scores, right))
    assert costs.mean() == pytest.approx(1 / 40)


def test_cells_without_weight_are_not_there() -> None:
    scores, right = SCORES["distinct"], DRAW.random(40) > 0.3
    weights = (np.arange(40) % 3 > 0).astype(float)
    kept = weights > 0
    found = risk_areas(ranking(scores), right, weights[None])
    assert found == pytest.approx([curves.aurc(scores[kept], right[kept])])


def test_a_mistake_among_equals_counts_as_often_as_it_weighs() -> None:
    right = np.array([True, True, True, False])
    weights = np.array([[1.0, 1, 1, 1], [1, 1, 1, 3]])
    found = risk_areas(ranking(np.ones(4)), right, weights)
    assert found == pytest.approx([0.25, 0.5])
