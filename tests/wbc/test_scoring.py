"""One set's entry in metrics.json: what is resampled, sets without classes, constant answer."""

import json

import numpy as np
import pandas as pd
import pytest

from wbc.intervals import Judged
from wbc.metrics import metrics_json
from wbc.scoring import INTERVALS, set_scores
from wbc.smears import smears_of


def cells(groups: list[str], sources: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"group": groups, "source": sources or ["lab"] * len(groups)})


def judged(labels: list[int], decisions: list[int]) -> Judged:
    probabilities = np.full((len(labels), 5), 0.1)
    probabilities[np.arange(len(labels)), decisions] = 0.6
    return Judged(np.array(labels), np.array(decisions), probabilities, probabilities)


def test_smears_are_known_where_every_cell_has_one() -> None:
    assert smears_of(cells(["a", "", "a"])) is None
    assert smears_of(cells(["", "", ""])) is None
    found = smears_of(cells(["a", "b", "a"], ["x", "x", "y"]))
    assert found is not None and len(set(found.tolist())) == 3  # y's a is another smear


@pytest.mark.parametrize(
    ("num_smears", "interval", "note"),
    [
        (0, "cells", None),
        (1, "cells", "one smear"),
        (7, "smears", "7 smears"),
        (8, "smears", None),
    ],
)
def test_what_was_resampled_is_said(num_smears: int, interval: str, note: str | None) -> None:
    labels = [0, 1] * 20
    groups = [str(i % num_smears) if num_smears else "" for i in range(40)]
    scores = set_scores(judged(labels, [0] * 3 + labels[3:]), cells(groups))
    assert scores["num_groups"] == num_smears
    assert scores["interval"] == interval
    assert (note is None) == ("interval_note" not in scores)
    assert note is None or note in scores["interval_note"]


def test_a_set_that_lacks_classes() -> None:
    scores = set_scores(judged([0] * 8 + [1] * 2, [0] * 6 + [4, 4] + [1, 0]), cells([""] * 10))
    assert scores["share_impossible"] == pytest.approx(0.2)
    assert scores["balanced_accuracy"]["value"] == pytest.approx((0.75 + 0.5) / 2)
    assert set(scores["recall"]) == {"neutrophil", "lymphocyte"}
    assert scores["recall"]["neutrophil"]["value"] == 0.75
    assert scores["recall"]["neutrophil"]["low"] == pytest.approx(0.349, abs=5e-4)
    assert scores["constant"] == {
        "class": "neutrophil", "accuracy": 0.8, "balanced_accuracy": 0.5,
    }  # fmt: skip
    areas = [area["value"] for area in scores["auroc"].values()]
    assert scores["auroc_macro"]["value"] == pytest.approx(np.mean(areas))


def test_every_score_but_the_selective_accuracy_has_an_interval() -> None:
    labels = [0, 1, 2, 3, 4] * 6
    scores = set_scores(judged(labels, [0] * 3 + labels[3:]), cells(list("abc") * 10))
    told = ("log_loss", "aurc", "auroc_macro", "average_precision_macro", *INTERVALS)
    of_classes = ("recall", "precision", "f1", "auroc", "average_precision")
    found = [scores[name] for name in told]
    found += [score for name in of_classes for score in scores[name].values()]
    assert len(found) == len(told) + 5 * len(of_classes)
    assert all(score["low"] <= score["value"] <= score["high"] for score in found)
    text = metrics_json({"val": scores})
    again = set_scores(judged(labels, [0] * 3 + labels[3:]), cells(list("abc") * 10))
    assert metrics_json({"val": again}) == text


def test_a_single_class_has_no_area_and_no_nan() -> None:
    scores = set_scores(judged([2, 2, 2], [2, 2, 0]), cells(["a", "b", "c"]))
    assert scores["auroc"] == {} and "auroc_macro" not in scores
    assert json.loads(metrics_json({"val": scores}))["val"]["mcc"]["value"] == 0


def test_a_single_cell() -> None:
    scores = set_scores(judged([3], [3]), cells([""]))
    assert scores["accuracy"]["value"] == 1 and scores["accuracy"]["low"] < 0.1
