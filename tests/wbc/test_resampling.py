"""wbc.resampling: balanced accuracy of resampled smears."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from wbc.resampling import NUM_DRAWS, hits_by_smear, mean_recalls, smear_weights

CLASSES = ("neutrophil", "monocyte")


def predictions(num_cells: int, smears: int = 0, seed: int = 1) -> pd.DataFrame:
    """Neutrophils right in 80 %, monocytes in 60 %; with `smears`, each right or wrong as one."""
    rng = np.random.default_rng(seed)
    label = np.array(CLASSES)[np.arange(num_cells) % 2]
    unit = np.arange(num_cells) // 2 % smears if smears else np.arange(num_cells)
    luck = rng.random(num_cells)[unit]
    right = luck < np.where(label == CLASSES[0], 0.8, 0.6)
    other = np.where(label == CLASSES[0], CLASSES[1], CLASSES[0])
    return pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(num_cells)],
            "group": [f"smear{u}" if smears else "" for u in unit],
            "label": label,
            "predicted": np.where(right, label, other),
        }
    )


def draws(cells: pd.DataFrame) -> np.ndarray:
    weights = smear_weights(cells, np.random.default_rng(2))
    return mean_recalls(weights, *hits_by_smear(cells, CLASSES))


def test_weights_of_one_give_scikit_learns_balanced_accuracy() -> None:
    cells = predictions(200, smears=10)
    hits, totals = hits_by_smear(cells, CLASSES)
    (found,) = mean_recalls(np.ones((1, 10)), hits, totals)
    assert found == pytest.approx(balanced_accuracy_score(cells["label"], cells["predicted"]))


def test_the_spread_is_the_binomial_one_where_cells_are_independent() -> None:
    cells = predictions(2000)
    recalls = (cells["label"] == cells["predicted"]).groupby(cells["label"]).mean()
    expected = np.sqrt((recalls * (1 - recalls) / 1000).sum()) / 2
    assert len(draws(cells)) == NUM_DRAWS
    assert draws(cells).std() == pytest.approx(expected, rel=0.06)


def test_smears_that_are_right_or_wrong_as_one_widen_it() -> None:
    assert draws(predictions(2000, smears=20)).std() > 3 * draws(predictions(2000)).std()


def test_no_draw_loses_a_class() -> None:
    cells = predictions(6)
    cells["label"] = ["neutrophil"] * 5 + ["monocyte"]
    assert np.isfinite(draws(cells)).all()
