"""The ranking: validation only, and only among networks with the same start."""

import copy
from typing import Any

import pytest

from wbc.cells import write_table
from wbc.comparison import compare, report, to_markdown, winners
from wbc.errors import UserError

Model = tuple[dict[str, Any], dict[str, Any], int]


def model(
    architecture: str, start: str, val: float, num_parameters: int = 1000, **tests: float
) -> Model:
    """A model with one number as all scores of val, and one of each test set."""
    card = {
        "architecture": architecture,
        "start": start,
        "best": {"epoch": 7},
        "inputs": {"pixels": "aa11", "weights": ""},
    }
    metrics = {
        name: {"balanced_accuracy": score, "macro_f1": score, "accuracy": score, "num_cells": 9}
        for name, score in {**tests, "val": val}.items()
    }
    return card, metrics, num_parameters


def test_the_rank_counts_within_equal_start() -> None:
    table = compare(
        [
            model("resnet18", "random", 0.99, test=0.9),
            model("googlenet", "imagenet", 0.8, test=0.9),
            model("mobilenet_v2", "imagenet", 0.9, test=0.1),
        ]
    )
    assert table[["architecture", "start", "rank"]].values.tolist() == [
        ["mobilenet_v2", "imagenet", 1],
        ["googlenet", "imagenet", 2],
        ["resnet18", "random", 1],
    ]
    assert winners(table) == {"imagenet": "mobilenet_v2", "random": "resnet18"}


def test_scores_with_intervals_give_their_value() -> None:
    score = {"value": 0.75, "low": 0.5, "high": 0.875}
    card = {"architecture": "a", "start": "file", "best": {"epoch": 1}, "inputs": {"pixels": "x"}}
    row = compare([(card, {"val": {"macro_f1": score, "accuracy": score}}, 5)]).iloc[0]
    assert row["val/macro_f1"] == row["val/accuracy"] == 0.75


def test_no_test_score_moves_anything() -> None:
    models = [model("googlenet", "file", 0.8, test=0.1), model("resnet18", "file", 0.7, test=0.2)]
    swapped = copy.deepcopy(models)
    swapped[0][1]["test"], swapped[1][1]["test"] = swapped[1][1]["test"], swapped[0][1]["test"]
    before, after = compare(models), compare(swapped)
    columns = ["architecture", "rank"]
    assert before[columns].equals(after[columns])
    assert winners(before) == winners(after)


def test_a_tie_shares_the_rank_and_the_smaller_network_wins() -> None:
    table = compare(
        [
            model("resnet18", "random", 0.5, 11_000),
            model("squeezenet1_1", "random", 0.9, 700),
            model("googlenet", "random", 0.9, 5_600),
        ]
    )
    assert table["rank"].tolist() == [1, 1, 3]
    assert table["architecture"].tolist() == ["googlenet", "squeezenet1_1", "resnet18"]
    assert winners(table) == {"random": "squeezenet1_1"}


def test_columns_cover_every_set_and_a_missing_one_is_empty(tmp_path: Any) -> None:
    table = compare(
        [
            model("googlenet", "random", 0.75, test_a=0.5),
            model("resnet18", "random", 0.25, test_a=0.5, krd=0.125),
        ]
    )
    assert list(table.columns) == [
        "rank",
        "architecture",
        "start",
        "num_parameters",
        "best_epoch",
        "val/macro_f1",
        "val/balanced_accuracy",
        "val/accuracy",
        "test_a/balanced_accuracy",
        "test_a/macro_f1",
        "test_a/accuracy",
        "krd/balanced_accuracy",
        "krd/macro_f1",
        "krd/accuracy",
    ]
    write_table(table, tmp_path / "table.csv")
    first, second = (tmp_path / "table.csv").read_text().splitlines()[1:]
    assert first == "1,googlenet,random,1000,7,0.75,0.75,0.75,0.5,0.5,0.5,,,"
    assert second == "2,resnet18,random,1000,7,0.25,0.25,0.25,0.5,0.5,0.5,0.125,0.125,0.125"


def test_markdown_is_one_table_and_the_report_names_the_winners() -> None:
    table = compare(
        [model("googlenet", "imagenet", 0.98765, 5_600_000, krd=0.5), model("resnet18", "file", 1)]
    )
    lines = to_markdown(table).splitlines()
    assert {line.count("|") for line in lines} == {len(table.columns) + 1}
    assert lines[2].startswith("| 1 | googlenet | imagenet | 5,600,000 | 7 | 0.9877 |")
    assert lines[3].endswith("| – | – | – |")
    text = report(table)
    assert "- from ImageNet weights: googlenet\n- from a file of weights: resnet18\n" in text


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(UserError, match="Nothing to compare"):
        compare([])
    without = model("googlenet", "random", 0.5)
    del without[1]["val"]
    with pytest.raises(UserError, match="evaluate@googlenet"):
        compare([without])
    other = model("resnet18", "random", 0.5)
    other[0]["inputs"]["pixels"] = "bb22"
    with pytest.raises(UserError, match="googlenet aa11, resnet18 bb22"):
        compare([model("googlenet", "random", 0.5), other])
