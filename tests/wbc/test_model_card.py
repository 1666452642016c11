"""The model card says what is known, asks for what is not, and claims no item that it lacks."""

import copy
from typing import Any

import pytest

from wbc import checklists
from wbc.checklists import CLAIM, ITEMS, TRIPOD
from wbc.model_card import model_card


def interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.04}


CARD: dict[str, Any] = {
    "architecture": "googlenet",
    "classes": ["neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil"],
    "input": {"size": 224, "crop": "cell", "context": 1.5},
    "start": "imagenet",
    "start_note": "",
    "decision": "logit_adjustment",
    "temperature": 1.25,
    "trained": "upper",
    "num_train": 1020,
    "best": {"epoch": 7},
    "drawn": False,
    "sources": [
        {"name": "raabin", "kind": "raabin", "role": "auto"},
        {"name": "krd-wbc", "kind": "krd-wbc", "role": "external"},
    ],
    "parameters": {"seed": 3, "train.epochs": 10, "train.augment.hue": 0.02},
    "inputs": {"pixels": "ab" * 32},
}


def scores(**more: Any) -> dict[str, Any]:
    found = {name: interval(0.9) for name in ("accuracy", "balanced_accuracy", "macro_f1")}
    return {
        "num_cells": 130,
        "num_groups": 12,
        "interval": "smears",
        **found,
        "recall": {"neutrophil": interval(0.8), "lymphocyte": interval(0.95)},
        "support": {"neutrophil": 100, "lymphocyte": 30},
        "constant": {"class": "neutrophil", "accuracy": 0.769, "balanced_accuracy": 0.5},
        **more,
    }


METRICS = {
    "val": scores(),
    "test_b": scores(share_impossible=0.04),
    "krd-wbc": scores(),
}
DIVISION = {
    "cells": {"train": {"neutrophil": 900, "lymphocyte": 120, "total": 1020}},
    "smears": {"train": 40, "test_b": 3},
    "smears_in_train_and_test": 2,
    "exact_copies": 4,
    "near_copies": 5,
    "copies_across_splits": 1,
    "left_out": 3,
}
NOTES = {"shortcuts": ["No class is told by its background alone."]}


def full() -> str:
    return model_card(CARD, METRICS, "cd" * 32, DIVISION, NOTES)


def section(text: str, title: str) -> str:
    return text.split(f"# {title}\n")[1].split("\n#")[0]


def test_every_section_of_mitchells_form_is_there_in_order() -> None:
    titles = [line[3:] for line in full().splitlines() if line.startswith("## ")]
    assert titles == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
        "Reporting checklists",
    ]


def test_scores_and_recalls_have_their_intervals() -> None:
    text = full()
    assert "| Test-B | 0.900 (0.850 to 0.940) |" in section(text, "Scores")
    recall = section(text, "Recall of each type, of the cells of that type")
    assert "| lymphocyte | 0.950 (0.900 to 0.990) of 30 |" in recall
    assert "monocyte" not in recall  # no set has one
    assert "always answering neutrophil would give accuracy 76.9\u00a0%" in recall
    assert "4.0\u00a0% of the cells go to types that the set lacks" in recall


def test_what_must_not_be_overlooked_stands_first() -> None:
    fallen = CARD | {"drawn": True, "start_note": "ImageNet could not be had; run make repro."}
    head = model_card(fallen, METRICS).split("## ")[0]
    assert "Not a medical device" in head and "drawn cells" in head
    assert "run make repro." in head
    assert "drawn cells" not in full() and "Fallback" not in full()


def test_data_say_what_the_division_found() -> None:
    text = section(full(), "Training data")
    assert "raabin (raabin)" in text and "krd-wbc" not in text
    assert "shares 2 smears between training and test" in text
    assert "4 exact, 5 near, 1 of them across parts; 3 cells left out" in text
    assert "Trained with: epochs 10." in text and "Varied while training: hue 0.02." in text
    unknown = model_card(CARD, METRICS, "", DIVISION | {"smears": {"train": 0}}, {})
    assert "cells of one smear may lie on both sides" in unknown
    assert "another laboratory | 130 | 12 |" in section(full(), "Evaluation data")


def test_nothing_is_left_of_what_is_not_known() -> None:
    text = model_card(CARD, METRICS)
    assert "Shortcuts" not in text and "Copies" not in text and "Identity" not in text
    bare = {k: v for k, v in CARD.items() if k in ("architecture", "sources")}
    old = {"val": scores(accuracy=0.9, balanced_accuracy=0.9, macro_f1=0.9)}
    assert "| Validation set | 0.900 | 0.900 | 0.900 |" in model_card(bare, old)
    assert "None" not in text


@pytest.mark.parametrize(
    ("checklist", "number", "change"),
    [
        (CLAIM, "19", {"division": None}),
        (CLAIM, "30", {"notes": {}}),
        (CLAIM, "33", {"card": CARD | {"sources": CARD["sources"][:1]}}),
        (TRIPOD, "13", {"card": {k: v for k, v in CARD.items() if k != "temperature"}}),
        (TRIPOD, "23a", {"metrics": {"val": scores(accuracy=0.9)}}),
    ],
)
def test_no_item_is_claimed_without_its_answer(
    checklist: str, number: str, change: dict[str, Any]
) -> None:
    given = {"card": CARD, "metrics": METRICS, "division": DIVISION, "notes": NOTES}
    item = next(i for i in ITEMS if (i.checklist, i.number) == (checklist, number))
    row = f"| {number} | {item.topic} |"
    assert row in section(model_card(**given), f"{checklist}: answered here")
    with_less = model_card(**(given | change))
    assert row not in section(with_less, f"{checklist}: answered here")
    assert row in section(with_less, f"{checklist}: to be added by hand, or read in the report")


def test_the_lists_are_whole() -> None:
    claim = [item.number for item in ITEMS if item.checklist == CLAIM]
    assert claim == [str(number) for number in range(1, 45)]
    tripod = [item.number for item in ITEMS if item.checklist == TRIPOD]
    assert len(set(tripod)) == len(tripod) == 52
    assert {number.rstrip("abcdefg") for number in tripod} == {str(n) for n in range(1, 28)}
    unanswered = [item for item in ITEMS if not item.sections and not item.card]
    assert all(item.by_hand for item in unanswered)
    titles = {line[3:] for line in full().splitlines() if line.startswith("## ")}
    assert {item.card for item in ITEMS} <= titles | {""}


def test_the_report_answers_only_with_all_sections_that_are_needed() -> None:
    item = next(i for i in ITEMS if (i.checklist, i.number) == (CLAIM, "38"))
    known = dict.fromkeys(checklists.UNDONE, True)
    shown = {"scores", "confusion", "why"}
    assert checklists.answered_in_report(item, shown, known) == item.sections
    assert checklists.answered_in_report(item, {"scores"}, known) == ()
    assert checklists.answered_in_report(item, shown, known | {"intervals": False}) == ()
    nothing = next(i for i in ITEMS if (i.checklist, i.number) == (CLAIM, "44"))
    assert checklists.answered_in_report(nothing, {"scores"}, known) == ()
    assert checklists.open_items([(item, False), (nothing, False), (item, True)]) == [
        (item, "in the report: scores, confusion"),
        (nothing, "all of it"),
    ]


def test_equal_input_gives_equal_text_and_is_left_alone() -> None:
    card = copy.deepcopy(CARD)
    assert model_card(card, METRICS, "cd" * 32, DIVISION, NOTES) == full()
    assert card == CARD
