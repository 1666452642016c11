"""Scores against values worked out by hand."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.wbc.decisions import predictions
from wbc.cells import CLASSES, read_table, write_table
from wbc.errors import UserError
from wbc.metrics import (
    choose_mistakes,
    class_indices,
    confusion,
    confusion_table,
    metrics_json,
    predictions_table,
    scores,
    significant,
    value,
)


def one_hot(decisions: list[int], sure: float = 0.6) -> np.ndarray[Any, Any]:
    """Probabilities (N, 5) in float32 with `sure` on the decision and the rest shared evenly."""
    probabilities = np.full((len(decisions), 5), (1 - sure) / 4, dtype=np.float32)
    probabilities[np.arange(len(decisions)), decisions] = sure
    return probabilities


def scored(labels: list[int], decisions: list[int]) -> dict[str, Any]:
    return scores(np.array(labels), np.array(decisions), one_hot(decisions))


def numbers(tree: Any) -> list[float]:
    return (
        [x for value in tree.values() for x in numbers(value)] if isinstance(tree, dict) else [tree]
    )


def test_scores_by_hand_with_all_classes() -> None:
    # neutrophil 3 of 4 right, the fourth called monocyte; basophil never chosen; the rest right
    result = scored([0, 0, 0, 0, 1, 1, 2, 3, 4], [0, 0, 0, 2, 1, 1, 2, 3, 3])
    assert result["num_cells"] == 9
    assert result["accuracy"] == pytest.approx(7 / 9)
    assert result["recall"] == pytest.approx(
        dict(zip(CLASSES, [0.75, 1.0, 1.0, 1.0, 0.0], strict=True))
    )
    assert result["precision"] == pytest.approx(
        dict(zip(CLASSES, [1.0, 1.0, 0.5, 0.5, 0.0], strict=True))
    )
    assert result["f1"] == pytest.approx(
        dict(zip(CLASSES, [6 / 7, 1.0, 2 / 3, 2 / 3, 0.0], strict=True))
    )
    assert result["support"] == dict(zip(CLASSES, [4, 2, 1, 1, 1], strict=True))
    assert result["balanced_accuracy"] == pytest.approx(3.75 / 5)
    assert result["macro_f1"] == pytest.approx((6 / 7 + 1 + 2 / 3 + 2 / 3) / 5)
    # seven right at 0.6, two wrong with 0.1 left for the true class
    assert result["log_loss"] == pytest.approx(-(7 * math.log(0.6) + 2 * math.log(0.1)) / 9)
    assert "share_impossible" not in result


def test_a_set_of_two_classes_averages_over_those_two() -> None:
    # five neutrophils: 3 right, 1 lymphocyte, 1 eosinophil (impossible); one lymphocyte, right
    result = scored([0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 3, 1])
    assert result["balanced_accuracy"] == pytest.approx((0.6 + 1.0) / 2)
    assert result["macro_f1"] == pytest.approx((0.75 + 2 / 3) / 2)
    assert result["share_impossible"] == pytest.approx(1 / 6)
    for name in ("recall", "precision", "f1", "support"):
        assert list(result[name]) == ["neutrophil", "lymphocyte"]


@pytest.mark.filterwarnings("error")
def test_one_class_sent_wholly_to_an_absent_one() -> None:
    result = scored([2, 2], [4, 4])
    assert result["accuracy"] == result["balanced_accuracy"] == result["macro_f1"] == 0
    assert result["share_impossible"] == 1
    assert result["precision"] == {"monocyte": 0.0}


@pytest.mark.filterwarnings("error")
def test_single_cell_without_warning() -> None:
    result = scored([1], [1])
    assert result["accuracy"] == result["balanced_accuracy"] == result["macro_f1"] == 1
    assert result["log_loss"] == pytest.approx(-math.log(0.6))
    assert result["share_impossible"] == 0
    assert all(math.isfinite(number) for number in numbers(result))


def test_a_certain_mistake_costs_much_but_is_finite() -> None:
    probabilities = np.eye(5, dtype=np.float32)[[0]]
    result = scores(np.array([1]), np.array([0]), probabilities)
    assert result["log_loss"] == pytest.approx(-math.log(np.finfo(np.float32).eps), rel=1e-3)


def test_the_decision_need_not_be_the_likeliest_class() -> None:
    likeliest = one_hot([0])
    assert scores(np.array([1]), np.array([1]), likeliest)["accuracy"] == 1
    assert scores(np.array([1]), np.array([1]), likeliest)["log_loss"] == pytest.approx(
        -math.log(0.1)
    )


def test_confusion_has_the_truth_in_rows() -> None:
    counts = confusion(np.array([0, 0, 1]), np.array([0, 3, 1]), 5)
    assert counts.shape == (5, 5) and counts.dtype == np.int64
    assert counts[0, 0] == 1 and counts[0, 3] == 1 and counts[1, 1] == 1 and counts.sum() == 3


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="without cells"):
        scored([], [])
    with pytest.raises(ValueError, match="do not belong together"):
        scores(np.array([0, 1]), np.array([0, 1]), one_hot([0]))
    broken = one_hot([0, 1, 2])
    broken[1] = np.nan
    broken[2, 0] = np.inf
    with pytest.raises(
        UserError,
        match=r"2 of 3 cells it gives no finite number; lower train\.learning_rate and run `dvc",
    ):
        scores(np.array([0, 1, 2]), np.array([0, 1, 2]), broken)


def test_class_indices_follow_the_order_of_classes() -> None:
    assert class_indices(["basophil", "neutrophil"]).tolist() == [4, 0]
    assert class_indices([]).dtype == np.int64  # so that no cells still index an array
    with pytest.raises(
        UserError,
        match=r"among neutrophil, lymphocyte, .* but 'blast' .*; check the sources in params\.yaml"
        r" and run `dvc repro` again",
    ):
        class_indices(["blast"])


def test_a_score_is_read_with_and_without_its_interval() -> None:
    assert value(0.25) == value({"value": 0.25, "low": 0.1, "high": 0.4}) == 0.25


def test_metrics_json_rounds_and_keeps_the_order() -> None:
    text = metrics_json({"val": {"num_cells": 3, "accuracy": 2 / 3, "recall": {"monocyte": 1 / 3}}})
    assert json.loads(text) == {
        "val": {"num_cells": 3, "accuracy": 0.666667, "recall": {"monocyte": 0.333333}}
    }
    assert text.index("num_cells") < text.index("accuracy") and text.endswith("}\n")
    with pytest.raises(ValueError):
        metrics_json({"val": {"accuracy": math.nan}})


def test_metrics_json_has_a_line_for_every_score() -> None:
    """So that a changed score is one line in a comparison of two files."""
    text = metrics_json({"val": {"num_cells": 3, "interval": "cells", "recall": {"monocyte": 0.5}}})
    assert text == (
        '{\n  "val": {\n    "num_cells": 3,\n    "interval": "cells",\n'
        '    "recall": {\n      "monocyte": 0.5\n    }\n  }\n}\n'
    )


def test_no_p_value_is_rounded_to_nothing() -> None:
    assert significant(0.000123456) == 0.000123
    written = json.loads(metrics_json({"val": {"p_value_mcnemar": 1.23456e-9, "ece": 1.2e-9}}))
    assert written == {"val": {"p_value_mcnemar": 1.23e-9, "ece": 0.0}}


@pytest.fixture
def cells() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": ["a/1.jpg", "a/2.jpg", "b/3.jpg"],
            "label": ["neutrophil", "basophil", "monocyte"],
            "group": ["007", "", "x"],
            "split": ["val", "val", "test"],
        },
        index=[12, 15, 40],  # rows picked out of a longer index
    )


def test_predictions_table_and_its_file(cells: pd.DataFrame, tmp_path: Any) -> None:
    probabilities = np.array(
        [[1 / 3, 2 / 3, 0, 0, 0], [0, 0, 0, 0, 1], [0.1, 0.2, 0.3, 0.4, 0]], dtype=np.float32
    )
    table = predictions_table(cells, np.array([1, 4, 3]), probabilities)
    assert list(table.columns) == [
        "path",
        "set",
        "group",
        "label",
        "predicted",
        *(f"p_{name}" for name in CLASSES),
    ]
    assert table.index.tolist() == [0, 1, 2] and table["p_basophil"].dtype == np.float64
    write_table(table, tmp_path / "predictions.csv")
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1:] == [
        "a/1.jpg,val,007,neutrophil,lymphocyte,0.333333,0.666667,0.0,0.0,0.0",
        "a/2.jpg,val,,basophil,basophil,0.0,0.0,0.0,0.0,1.0",
        "b/3.jpg,test,x,monocyte,eosinophil,0.1,0.2,0.3,0.4,0.0",
    ]
    assert read_table(tmp_path / "predictions.csv")["group"].tolist() == ["007", "", "x"]
    with pytest.raises(ValueError, match="3 cells, 2 decisions"):
        predictions_table(cells, np.array([1, 4]), probabilities)


def test_confusion_table_is_one_set_for_dvc(cells: pd.DataFrame) -> None:
    table = predictions_table(cells, np.array([1, 4, 3]), one_hot([1, 4, 3]))
    assert confusion_table(table, "val").to_dict("list") == {
        "actual": ["neutrophil", "basophil"],
        "predicted": ["lymphocyte", "basophil"],
    }
    assert confusion_table(table, "test")["predicted"].tolist() == ["eosinophil"]


def test_choose_mistakes_gives_every_type_its_turn() -> None:
    # five neutrophils wrong with rising probability, one basophil wrong, one monocyte right
    table = predictions(
        [0, 0, 0, 0, 0, 4, 2], [1, 1, 1, 1, 1, 3, 2], [0.5, 0.6, 0.7, 0.8, 0.9, 0.4, 1]
    )
    assert choose_mistakes(table, 1).tolist() == [4]
    assert choose_mistakes(table, 3).tolist() == [4, 3, 5]
    assert choose_mistakes(table).tolist() == [4, 3, 2, 1, 0, 5]
    assert choose_mistakes(table.iloc[6:]).tolist() == []


def test_turns_are_shared_out_in_the_order_of_types_however_many_there_are() -> None:
    true = [cell % 5 for cell in range(200)]
    sure = [0.5 + cell / 1000 for cell in range(200)]
    table = predictions(true, [(label + 1) % 5 for label in true], sure)
    assert choose_mistakes(table, 7).tolist() == [195, 190, 196, 191, 197, 198, 199]
    assert len(choose_mistakes(table)) == 40  # of a contact sheet


def test_equal_mistakes_are_chosen_by_path() -> None:
    table = predictions([0, 0], [1, 1], [0.5, 0.5]).iloc[::-1]
    assert choose_mistakes(table, 1).tolist() == [1]  # the position of 0.png in this order
