"""Paired tests: textbook values, agreement with the slow way, and what must not be compared."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from wbc import paired
from wbc.cells import CLASSES
from wbc.errors import UserError


def pair(wrong_first: int, wrong_second: int, size: int = 60, smears: bool = False) -> paired.Pair:
    """`size` cells of each class; each model's first so many of each class named as the next."""
    labels = np.repeat(np.arange(5), size)
    first, second = labels.copy(), labels.copy()
    position = np.tile(np.arange(size), 5)
    first[position < wrong_first] = (labels[position < wrong_first] + 1) % 5
    second[position >= size - wrong_second] = (labels[position >= size - wrong_second] + 1) % 5
    return paired.Pair(labels, first, second, position if smears else None)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (2, 8, 0.109375),  # 2 * (1 + 10 + 45) / 1024
        (8, 2, 0.109375),
        (5, 5, 1.0),
        (0, 6, 0.03125),  # 2 / 64
        (0, 0, 1.0),
        (121, 59, 4.434444e-06),  # the table (101, 121, 59, 33) of Fay's R package exact2x2
    ],
)
def test_mcnemar_is_the_exact_binomial_test(only_first: int, only_second: int, p: float) -> None:
    assert paired.mcnemar(only_first, only_second) == pytest.approx(p, rel=1e-4)


def test_holm_steps_down_and_never_reverses() -> None:
    assert paired.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") in R's manual of p.adjust
    assert paired.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx(
        [0.05, 0.08, 0.09, 0.09, 0.09]
    )
    assert paired.holm([0.9, 0.6]) == [1.0, 1.0]
    assert paired.holm([]) == []


def test_differences_are_those_of_scikit_learn() -> None:
    cells = pair(3, 9)
    differences = paired.compare(cells).differences
    recall = [balanced_accuracy_score(cells.labels, x) for x in (cells.first, cells.second)]
    f1 = [f1_score(cells.labels, x, average="macro") for x in (cells.first, cells.second)]
    assert differences["balanced_accuracy"].value == pytest.approx(recall[0] - recall[1])
    assert differences["macro_f1"].value == pytest.approx(f1[0] - f1[1])


def test_the_bootstrap_agrees_with_drawing_cells_one_by_one() -> None:
    cells = pair(3, 9)
    rng, slow = np.random.default_rng(5), []
    right = [cells.first == cells.labels, cells.second == cells.labels]
    for _ in range(2000):
        rows = np.concatenate([rng.choice(np.flatnonzero(cells.labels == k), 60) for k in range(5)])
        slow.append(np.mean(right[0][rows]) - np.mean(right[1][rows]))  # classes of equal size
    found = paired.bootstrap(cells)["balanced_accuracy"]
    low, high = np.quantile(slow, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert found.p == pytest.approx(2 / 2001)


def test_equal_decisions_show_nothing() -> None:
    cells = pair(4, 4)
    same = paired.compare(paired.Pair(cells.labels, cells.first, cells.first, None))
    assert same.mcnemar_p == 1.0
    assert same.differences["macro_f1"] == paired.Difference(0.0, 0.0, 0.0, 1.0)
    assert not paired.is_shown(same.differences["macro_f1"], 1.0)


def test_smears_widen_what_cells_alone_make_sure() -> None:
    by_cell, by_smear = (
        paired.bootstrap(pair(3, 12, smears=smears))["macro_f1"] for smears in (False, True)
    )
    assert by_smear.value == pytest.approx(by_cell.value)
    assert by_smear.high - by_smear.low > 1.3 * (by_cell.high - by_cell.low)


def drawn_equal(rng: np.random.Generator, num_smears: int) -> paired.Pair:
    """Two models of the same recalls, each of which each smear treats in its own way."""
    smears = np.repeat(np.arange(num_smears), 30)
    labels = rng.choice(5, len(smears), p=[0.5, 0.2, 0.1, 0.1, 0.1])
    decided = []
    for _ in range(2):
        wrong = rng.random(len(smears)) < rng.beta(0.9, 8.1, num_smears)[smears]
        other = (labels + rng.integers(1, 5, len(smears))) % 5
        decided.append(np.where(wrong, other, labels))
    return paired.Pair(labels, decided[0], decided[1], smears)


@pytest.mark.parametrize("num_smears", [2, 3, 4, 6, 12])
def test_equal_models_seldom_differ_however_few_the_smears(
    num_smears: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "NUM_DRAWS", 500)
    rng = np.random.default_rng(11)
    found = [paired.bootstrap(drawn_equal(rng, num_smears)) for _ in range(80)]
    for name in paired.SCORES:
        assert np.mean([paired.is_shown(one[name], one[name].p) for one in found]) <= 0.1


def test_p_and_interval_say_the_same() -> None:
    rng = np.random.default_rng(2)
    for number in (2, 4, 10):
        for _ in range(10):
            one = paired.bootstrap(drawn_equal(rng, number))["macro_f1"]
            if abs(one.p - 0.05) > 0.01:
                assert (one.p < 0.05) == (not one.low <= 0 <= one.high)


def test_over_many_smears_a_true_difference_is_shown() -> None:
    found = paired.compare(pair(3, 12, smears=True))
    assert found.num_smears == 60
    assert all(paired.is_shown(one, one.p) for one in found.differences.values())


def test_one_smear_means_cells() -> None:
    cells = pair(3, 9)
    one = paired.Pair(cells.labels, cells.first, cells.second, np.zeros(300, np.int64))
    assert paired.compare(one) == paired.compare(cells)
    assert paired.compare(one).num_smears == 0


def predictions(predicted: list[int], group: str = "s1", lab: str = "a") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [f"{lab}/{i}.png" for i in range(len(predicted))],
            "set": "test",
            "group": group,
            "label": [CLASSES[i % 5] for i in range(len(predicted))],
            "predicted": [CLASSES[i] for i in predicted],
        }
    )


def test_cells_are_joined_by_path_whatever_their_order() -> None:
    first, second = predictions([0, 1, 2, 3, 4]), predictions([0, 0, 0, 0, 0])
    joined = paired.join(first, second.iloc[::-1], "test", by_smear=False)
    assert joined.first.tolist() == [0, 1, 2, 3, 4] and joined.second.tolist() == [0] * 5
    assert joined.smears is None


def test_equal_names_of_smears_in_two_laboratories_are_two_smears() -> None:
    both = pd.concat([predictions([0, 1], lab="a"), predictions([0, 1], lab="b")])
    smears = paired.join(both, both, "test", by_smear=True).smears
    assert smears is not None and len(set(smears.tolist())) == 2


def test_other_cells_or_labels_are_refused() -> None:
    first = predictions([0, 1, 2, 3, 4])
    with pytest.raises(UserError, match="of 5 and 4 in test they share 4"):
        paired.join(first, first.iloc[:4], "test", by_smear=False)
    with pytest.raises(UserError, match="they share 4"):
        paired.join(first, first.replace({"label": {"basophil": "monocyte"}}), "test", False)
