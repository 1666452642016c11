"""wbc.adapt_report: before and after on the same cells."""

import pandas as pd
import pytest

from tests.mlflow_home import card
from wbc import adapt_report
from wbc.cells import CLASSES


def table(right: list[bool]) -> pd.DataFrame:
    labels = [CLASSES[i % 2] for i in range(len(right))]
    other = {CLASSES[0]: CLASSES[1], CLASSES[1]: CLASSES[0]}
    return pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(len(right))],
            "group": "",
            "label": labels,
            "predicted": [x if ok else other[x] for x, ok in zip(labels, right, strict=True)],
        }
    )


def test_mcnemar_counts_cells_that_changed_sides() -> None:
    before, after = (
        table([True] * 80 + [False] * 20),
        table([False] * 2 + [True] * 90 + [False] * 8),
    )
    found = adapt_report.difference(before, after)
    assert (found["mended"], found["broken"]) == (12, 2)
    # 2 * sum(C(14, k), k = 0..2) / 2**14
    assert found["p_value"] == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    gain = found["balanced_accuracy"]
    assert gain["value"] == pytest.approx(0.10) and 0 < gain["low"] < 0.10 < gain["high"]
    assert found["p_value_bootstrap"] < 0.05


def test_nothing_changed_is_no_evidence() -> None:
    same = table([True, False] * 20)
    found = adapt_report.difference(same, same)
    assert found["p_value"] == 1 and found["p_value_bootstrap"] == 1
    assert found["balanced_accuracy"] == {"value": 0, "low": 0, "high": 0}


def test_other_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="different cells"):
        adapt_report.difference(table([True] * 3), table([True] * 4))


def test_scores_with_and_without_intervals_are_written() -> None:
    scores = {
        "num_cells": 12,
        "balanced_accuracy": {"value": 0.5, "low": 0.25, "high": 0.75},
        "accuracy": 0.5,
        "recall": {"monocyte": 0.5},
    }
    result = {
        "before": scores,
        "after": scores,
        "confusion_after": {"monocyte": dict.fromkeys(CLASSES, 3)},
        "difference": adapt_report.difference(table([False] * 4), table([True] * 4)),
    }
    rows = adapt_report.table({"abroad": result})
    assert rows["score"].tolist() == ["balanced_accuracy", "accuracy", "recall/monocyte"]
    assert rows["before_low"].iloc[0] == 0.25 and pd.isna(rows["before_low"].iloc[1])
    adapted = {"from": "ab" * 32, "set": "abroad", "per_class": 3, "seed": 1, "num_rehearsed": 15,
               "cells": ["a.png"]}  # fmt: skip
    text = adapt_report.markdown(card(adapted=adapted), {"abroad": result}, ["x: 1"], ["Few."])
    assert "| balanced accuracy | 0.500 (0.250 to 0.750) | 0.500 (0.250 to 0.750) |" in text
    assert "| monocyte | 3 | 3 | 3 | 3 | 3 |" in text
    assert "| recall of monocytes | 0.500 | 0.500 |" in text
    assert "4 cells became right and 0 cells wrong" in " ".join(text.split())
    assert "\n- x: 1." in text and "**Few.**" in text
    page = adapt_report.html(card(adapted=adapted), {"abroad": result}, ["x: 1"], ["Few."])
    for words in (
        "0.500 (0.250 to 0.750)",
        "Few.",
        "x: 1.",
        "adapted to abroad",
        "Not a medical device: no result",
    ):
        assert words in page
