"""Doubts that are planted are found, and nothing is said where nothing can be known."""

import numpy as np
import pandas as pd
import pytest

from wbc import label_quality as quality
from wbc.cells import CLASSES
from wbc.label_quality import CONFLICT, DUPLICATE, ERROR, KINDS, OUTLIER

COPIES = pd.DataFrame(
    [
        ("1.png", "2.png", "near", 6, "lymphocyte", "lymphocyte", "train", "val", "kept both"),
        ("3.png", "4.png", "exact", 0, "neutrophil", "monocyte", "train", "train", "left out both"),
    ],
    columns=["path_a", "path_b", "kind", "distance", "label_a", "label_b", "split_a", "split_b",
             "action"],
)  # fmt: skip


def clouds(each: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors (5 * each, 8) of five well separated types, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(5), each)
    return rng.normal(6 * np.eye(5, 8)[labels], 1), labels


def cells(labels: np.ndarray, source: str = "own") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [f"{number}.png" for number in range(len(labels))],
            "split": "train",
            "group": "",
            "source": source,
            "label": [CLASSES[label] for label in labels],
        }
    )


def test_wrong_labels_are_found_and_the_right_ones_suggested() -> None:
    x, labels = clouds()
    wrong = np.array([3, 50, 90, 130, 170])
    given = labels.copy()
    given[wrong] = (labels[wrong] + 1) % 5
    found = quality.issues(cells(given), COPIES.iloc[:0], x).table
    errors = found[found["kind"] == ERROR]
    assert set(errors["path"]) == {f"{row}.png" for row in wrong}
    suggested = dict(zip(errors["path"], errors["suggested"], strict=True))
    assert suggested == {f"{row}.png": CLASSES[labels[row]] for row in wrong}
    assert (errors["score"] > 0.9).all()


def test_cells_of_a_smear_are_judged_by_classifiers_that_never_saw_it() -> None:
    x, labels = clouds()
    groups = [f"smear {row % 8}" for row in range(len(labels))]
    for train, held_out in quality._folds(labels, groups):
        assert not {groups[row] for row in train} & {groups[row] for row in held_out}
    only = ["a" if label == 4 else group for label, group in zip(labels, groups, strict=True)]
    judgement = quality.judge(x, labels, only, ["own"] * len(labels))
    assert not judgement.judged[labels == 4].any() and judgement.judged[labels != 4].all()
    assert not set(quality.label_errors(labels, judgement)) & set(np.flatnonzero(labels == 4))


@pytest.mark.parametrize("numbers", [[], [0], [0, 1], [0] * 30, [0, 1, 2, 3, 4] * 2])
def test_too_few_cells_or_types_are_no_doubts(numbers: list[int]) -> None:
    labels = np.array(numbers, np.int64)
    x = np.random.default_rng(0).normal(size=(len(labels), 8))
    found = quality.issues(cells(labels), COPIES.iloc[:0], x)
    assert not (found.table["kind"] == ERROR).any()
    assert found.num_judged == 0 and found.summary()["agreement"] is None


def test_a_cell_unlike_its_kind_is_an_outlier_within_its_own_source_only() -> None:
    x, labels = clouds(60)
    x[:12] = 20 + 8 * (x[:12] - x[:12].mean(axis=0))  # few cells of a less even laboratory
    x[20] += np.array([0, 0, 0, 0, 0, 0, 60, 0])
    sources = ["other" if row < 12 else "own" for row in range(300)]
    distance, fence = quality.strangeness(x, labels, sources)
    assert np.flatnonzero(distance > fence).tolist() == [20]
    assert np.median(distance) == pytest.approx(1, abs=0.05)
    distance, fence = quality.strangeness(x, labels, ["own"] * 300)
    assert len(np.flatnonzero(distance > fence)) > 1


def test_cells_with_few_like_them_to_learn_from_are_doubted_last() -> None:
    x, labels = clouds()
    num_like = quality.judge(x, labels, [""] * 200, ["small"] * 10 + ["own"] * 190).num_like
    assert num_like[:10].max() <= 9 and num_like[40:].min() == 32
    p = np.full((200, 5), 0.05)
    p[np.arange(200), labels] = 0.8
    for row, own in ((0, 0.001), (50, 0.1), (90, 0.01)):
        p[row] = 0
        p[row, [labels[row], (labels[row] + 1) % 5]] = own, 1 - own
    judgement = quality.Judgement(p, np.ones(200, bool), num_like, 0.9)
    assert quality.label_errors(labels, judgement).tolist() == [90, 50, 0]


def test_the_table_ranks_conflicts_errors_duplicates_and_outliers() -> None:
    x, labels = clouds()
    x[20, 6] += 60
    given = labels.copy()
    given[100] = 0
    found = quality.issues(cells(given), COPIES, x)
    assert list(found.table.columns) == ["rank", *quality.COLUMNS]
    assert found.table["rank"].tolist() == list(range(1, len(found.table) + 1))
    order = [KINDS.index(kind) for kind in found.table["kind"]]
    assert order == sorted(order) and set(order) == {0, 1, 2, 3}
    conflict = found.table[found.table["kind"] == CONFLICT].iloc[0]
    assert (conflict["path"], conflict["partner"]) == ("3.png", "4.png")
    assert (conflict["score"], conflict["suggested"]) == (1.0, "neutrophil")
    duplicate = found.table[found.table["kind"] == DUPLICATE].iloc[0]
    assert (duplicate["score"], duplicate["suggested"]) == (1 - 6 / 64, "")
    assert found.table[found.table["kind"] == OUTLIER]["path"].tolist()[0] == "20.png"
    assert found.counts()[CONFLICT] == 1 and found.rare == {}
    assert found.table.equals(quality.issues(cells(given), COPIES, x).table)
