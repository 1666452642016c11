"""wbc.report_shift: what the report says of other laboratories."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from wbc import report_shift
from wbc.page import Text
from wbc.report import Material

CARD = {
    "num_train": 900,
    "sources": [
        {"name": "pbc", "kind": "folder", "role": "auto"},
        {"name": "krd", "kind": "folder", "role": "external"},
    ],
    "parameters": {
        "train.augment.stain": 0.05,
        "train.augment.blur": 0.01,
        "train.augment.microscope_share": 0.5,
        "seed": 1,
    },
}


def material(card: dict[str, Any] = CARD, **tables: pd.DataFrame) -> Material:
    metrics: dict[str, Any] = {name: {} for name in ("val", "test", "krd")}
    return Material(card, metrics, {}, {}, tables, Path("figures"), "ab" * 32)


def row(refused: int, kept: int) -> dict[str, Any]:
    return {
        "set": "krd", "external": True, "verdict": "shifted", "share_far": 0.2, "auroc": 0.9,
        "auroc_errors": 0.7, "overconfidence": 0.1, "fall": None, "in_words": "",
        "refused_cells": 120, "refused_errors": refused, "kept_cells": 480, "kept_errors": kept,
        "after_all": 0.65, "after_kept": 0.71,
    }  # fmt: skip


def test_what_the_model_was_and_was_not_shown() -> None:
    text = report_shift.shown(material(), "krd")
    assert "was shown nothing: it learned from 900 cells of pbc" in text
    assert "neither its weights, nor the epoch that was kept, nor its temperature" in text
    assert "changes of stain and blur" in text
    none_passes = {**CARD["parameters"], "train.augment.microscope_share": 0.0}
    text = report_shift.shown(material({**CARD, "parameters": none_passes}), "krd")
    assert "changes of stain. " in text
    plain = {**CARD, "parameters": {"train.augment.stain": 0.0}}
    assert "changes of" not in report_shift.shown(material(plain), "krd")


@pytest.mark.parametrize(
    ("refused", "kept", "verdict"),
    [(70, 100, "helps there"), (32, 100, "is not shown to help there"), (3, 150, "harms there")],
)
def test_whether_refusing_helps_is_said_with_intervals(
    refused: int, kept: int, verdict: str
) -> None:
    text = report_shift.refusing(row(refused, kept))
    assert text is not None and f"of krd {verdict}: " in text
    assert f"{100 * refused / 120:.1f}\u00a0% of the refused decisions are wrong (" in text
    assert "from 0.650 to 0.710" in text


def test_the_section_says_both_of_external_sets_only() -> None:
    table = pd.DataFrame([row(70, 100), row(70, 100) | {"set": "test", "external": False}])
    blocks = report_shift.shift(material(shift=table))
    texts = [block.text for block in blocks if isinstance(block, Text)]
    assert sum("was shown nothing" in text for text in texts) == 1
    assert sum("Refusing the least certain" in text for text in texts) == 1


def test_tables_from_before_say_nothing_of_refusing() -> None:
    assert report_shift.refusing({"set": "krd"}) is None
