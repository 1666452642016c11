"""The ranking: validation only, and only among models with the same start; tests and words."""

import copy
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from wbc import comparison_page
from wbc.cells import CLASSES, write_table
from wbc.comparison import Model, compare, sets_of, winners
from wbc.comparison_tests import COLUMNS, paired_table, rounded
from wbc.comparison_text import cautions, display_tables, paired_rows, report, to_markdown
from wbc.cost import Size
from wbc.errors import UserError
from wbc.metrics import metrics_json
from wbc.wording import NBSP


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
        name: {
            **{
                key: {"value": score, "low": score - 0.125, "high": score + 0.125}
                for key in ("balanced_accuracy", "macro_f1", "accuracy")
            },
            "num_cells": 9,
            "interval": "cells",
        }
        for name, score in {**tests, "val": val}.items()
    }
    adds = None if start == "none" else 2_500_000
    return Model(card, metrics, {}, Size(num_parameters, adds, 4 * num_parameters))


def test_the_rank_counts_within_equal_start() -> None:
    table = compare(
        [
            model("classical", "none", 0.95, test=0.9),
            model("resnet18", "random", 0.99, test=0.9),
            model("googlenet", "imagenet", 0.8, test=0.9),
            model("mobilenet_v2", "imagenet", 0.9, test=0.1),
        ]
    )
    assert table[["architecture", "start", "rank"]].values.tolist() == [
        ["mobilenet_v2", "imagenet", 1],
        ["googlenet", "imagenet", 2],
        ["resnet18", "random", 1],
        ["classical", "none", 1],
    ]
    assert winners(table) == {
        "imagenet": "mobilenet_v2",
        "random": "resnet18",
        "none": "classical",
    }


def test_no_test_score_moves_anything() -> None:
    models = [model("googlenet", "file", 0.8, test=0.1), model("resnet18", "file", 0.7, test=0.2)]
    swapped = copy.deepcopy(models)
    for one, other in zip(swapped, reversed(models), strict=True):
        one.metrics["test"].update(other.metrics["test"])  # type: ignore[attr-defined]
    before, after = compare(models), compare(swapped)
    columns = ["architecture", "rank"]
    assert before[columns].equals(after[columns])
    assert not before.equals(after)
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
    fixed = "rank architecture start num_parameters multiply_adds num_bytes best_epoch val/macro_f1"
    scores = [
        f"{name}/{score}{part}"
        for name in ("val", "test_a", "krd")
        for score in ("balanced_accuracy", "macro_f1", "accuracy")
        for part in ("", "/low", "/high")
    ]
    assert list(table.columns) == [
        *fixed.split(),
        *(score for score in scores if score != "val/macro_f1"),
    ]
    assert sets_of(table) == ["val", "test_a", "krd"]
    write_table(table, tmp_path / "table.csv")
    first, second = (tmp_path / "table.csv").read_text().splitlines()[1:]
    assert first.startswith("1,googlenet,random,1000,2500000,4000,7,0.75,0.75,0.625,0.875,0.625,")
    assert first.endswith("0.5,0.375,0.625" + "," * 9)
    assert second.endswith("0.125,0.0,0.25")


def test_seeds_stand_beside_the_first_seed_where_there_are_several() -> None:
    one = model("googlenet", "random", 0.75)
    spread = {"mean": 0.7, "sd": 0.05, "min": 0.65, "max": 0.75, "values": [0.75, 0.65]}
    seeds = {"val": {"macro_f1": spread}}
    table = compare(
        [Model(one.card, one.metrics, seeds, one.size), model("resnet18", "random", 0.5)]
    )
    assert table["val/macro_f1/seeds_mean"].tolist() == [0.7, None]
    assert table["val/macro_f1/seeds_sd"].tolist() == [0.05, None]
    assert display_tables(table)["Set val"]["macro-F1"].tolist() == [
        "0.7500_(0.6250–0.8750), 0.7000_±_0.0500".replace("_", NBSP),
        f"0.5000{NBSP}(0.3750–0.6250)",
    ]


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(UserError, match="Nothing to compare"):
        compare([])
    without = model("googlenet", "random", 0.5)
    without.metrics.pop("val")  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="evaluate@googlenet"):
        compare([without])
    other = model("resnet18", "random", 0.5)
    other.card["inputs"]["pixels"] = "bb22"
    with pytest.raises(UserError, match="googlenet aa11, resnet18 bb22"):
        compare([model("googlenet", "random", 0.5), other])


MODELS = [
    model("googlenet", "imagenet", 0.9, 5_600_000),
    model("resnet18", "imagenet", 0.5),
    model("squeezenet1_1", "imagenet", 0.4),
    model("classical", "none", 0.95, 590),
]


def predictions(num_wrong: int) -> pd.DataFrame:
    """100 cells of val, the first so many taken for the next type."""
    labels = [CLASSES[i % 5] for i in range(100)]
    predicted = [CLASSES[(i + (i < num_wrong)) % 5] for i in range(100)]
    paths = [f"a/{i}.png" for i in range(100)]
    columns = {"path": paths, "set": "val", "group": "", "label": labels, "predicted": predicted}
    return pd.DataFrame(columns)


def paired_of(models: list[Model]) -> pd.DataFrame:
    wrong = {"googlenet": 2, "resnet18": 40, "squeezenet1_1": 3, "classical": 0}
    return paired_table(
        compare(models),
        {name: predictions(number) for name, number in wrong.items()},
        {one.name: one.metrics for one in models},
    )


def test_the_best_is_tested_against_the_others_of_its_start_only() -> None:
    tests = paired_of(MODELS)
    assert tuple(tests.columns) == COLUMNS
    assert tests[["set", "best", "other"]].values.tolist() == [
        ["val", "googlenet", "resnet18"],
        ["val", "googlenet", "squeezenet1_1"],
    ]
    assert tests["only_best_right"].tolist() == [38, 1]
    assert tests["only_other_right"].tolist() == [0, 0]
    assert tests["mcnemar/p"].tolist() == pytest.approx([2 / 2**38, 1.0])
    assert tests["mcnemar/p_holm"].tolist() == pytest.approx([4 / 2**38, 1.0])
    assert tests["balanced_accuracy/difference"].tolist() == pytest.approx([0.38, 0.01])
    head, *rows = (dict(enumerate(row)) for row in paired_rows(tests))
    assert head[3] == "only best right" and rows[0][3] == "38" and rows[0][4] == "0"
    assert rows[0][5].split() == ["below", "0.001"] and rows[1][5] == "1.000"
    assert rows[0][6].startswith("+0.380") and rows[0][8] == "yes" and rows[1][8] == "no"


def test_no_p_value_is_written_as_0() -> None:
    written = rounded(paired_of(MODELS))
    assert written["mcnemar/p"].tolist() == [7.28e-12, 1.0]  # 2 / 2**38
    assert written["balanced_accuracy/difference"].tolist() == [0.38, 0.01]
    assert list(written.columns) == list(COLUMNS)
    text = metrics_json({"change": {"p_value": 2 / 2**38, "value": 0.12345678}})
    assert json.loads(text) == {"change": {"p_value": 7.28e-12, "value": 0.123457}}


def test_few_smears_are_named() -> None:
    tests = paired_of(MODELS)
    assert tests["num_smears"].tolist() == [0, 0]
    several = tests.assign(num_smears=[4, 8], set=["val", "test"])
    [words] = cautions(several)
    assert words.startswith("val: these are only 4 smears")


def test_the_page_names_what_models_should_have_started_from(tmp_path: Path) -> None:
    note = "ImageNet weights could not be had."
    comparison_page.write(compare(MODELS), paired_of(MODELS), tmp_path, False, {"a": note, "b": ""})
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert f'<p class="banner warning">a: {note}</p>' in page
    assert "<td>38</td>" in page and "rank 1 is the best of its start" in page


def test_the_report_says_what_was_ranked_by_what() -> None:
    table, tests = compare(MODELS), paired_of(MODELS)
    text = report(table, tests)
    assert "Ranked by macro-F1 on the validation set alone" in text
    assert "- from ImageNet weights: googlenet\n- from hand-made features: classical\n" in text
    models = to_markdown(display_tables(table)["Models"]).splitlines()
    assert {line.count("|") for line in models} == {9}
    assert models[2] == "| 1 | googlenet | imagenet | 5,600,000 | 2 M | 22.40 MB | 7 | 0.9000 |"
    assert models[-1] == "| 1 | classical | none | 590 | – | 0.00 MB | – | 0.9500 |"


def test_models_of_different_starts_are_not_tested() -> None:
    models = [MODELS[0], MODELS[3]]
    tests = paired_of(models)
    assert tests.empty and tuple(tests.columns) == COLUMNS
    assert "None: no two models have the same start." in report(compare(models), tests)
