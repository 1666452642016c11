"""The report says what the files say: numbers, warnings, what is missing; and again the same."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wbc import report
from wbc.cells import CLASSES

CARD: dict[str, Any] = {
    "architecture": "googlenet",
    "start": "imagenet",
    "start_note": "",
    "num_train": 800,
    "drawn": False,
    "temperature": 1.25,
    "sources": [
        {"name": "lab", "kind": "folder", "role": "auto"},
        {"name": "other", "kind": "folder", "role": "external"},
    ],
    "parameters": {"seed": 1, "train.epochs": 10},
    "inputs": {"pixels": "a" * 64, "weights": "b" * 64},
}


def score(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.04}


def scores(value: float, classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    names = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "ece", "brier", "ece_uncalibrated")
    of_classes = {name: score(value) for name in classes}
    return {
        "num_cells": 100 * len(classes),
        "num_groups": 0,
        "interval": "cells",
        **{name: score(value) for name in names},
        "log_loss": score(0.3),
        "aurc": score(0.061),
        "constant": {"class": classes[0], "accuracy": 0.5, "balanced_accuracy": 1 / len(classes)},
        **dict.fromkeys(("recall", "precision", "f1", "auroc", "average_precision"), of_classes),
        "support": dict.fromkeys(classes, 100),
    }


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    metrics = {"val": scores(0.95), "test": scores(0.9), "other": scores(0.6, CLASSES[:2])}
    metrics["other"]["share_impossible"] = 0.125
    for name, content in (("models/model.json", CARD), ("reports/metrics.json", metrics)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "models" / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def made(folders: Path) -> str:
    material = report.read(folders / "models", folders / "reports", folders / "none.json")
    report.write(material, folders / "reports")
    return (folders / "reports" / report.PAGE_FILE).read_text(encoding="utf-8")


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_summary_says_how_good_how_sure_and_against_what(folders: Path) -> None:
    text = words(made(folders))
    assert "Test set (500 cells): 90.0 % (85.0–94.0) of the cells are named right" in text
    assert "Always answering “neutrophil” would give 50.0 % and 20.0 %." in text
    assert "Other laboratory other (200 cells): 60.0 % (55.0–64.0)" in text
    assert "Every type is found equally often, 90.0 %." in text
    assert "On cells of the other laboratory other they are off by 60.0 points" in text
    assert "12.5 % of the cells are sent to types that it lacks." in text


def test_every_score_of_a_class_and_the_calibration_has_its_interval(folders: Path) -> None:
    text = words(made(folders))
    assert "neutrophil 100" + " 90.0 % 85.0–94.0" * 2 + " 0.900 0.850–0.940" * 3 in text
    assert "0.300 0.250–0.340 0.0610 0.0110–0.1010" in text


def test_what_a_set_lacks_is_a_limit(folders: Path) -> None:
    text = words(made(folders))
    assert "Other laboratory other lacks monocyte, eosinophil, basophil" in text


def test_what_must_not_be_overlooked_is_a_banner(folders: Path) -> None:
    assert "Not a medical device" in made(folders)
    assert "drawn cells" not in made(folders)
    drawn = {**CARD, "drawn": True, "start_note": "ImageNet weights could not be had."}
    (folders / "models" / "model.json").write_text(json.dumps(drawn), encoding="utf-8")
    page = made(folders)
    assert "learned from drawn cells" in page
    assert '<p class="banner warning">ImageNet weights could not be had.</p>' in page


def test_a_set_out_of_domain_is_a_banner(folders: Path) -> None:
    rows = [shifted("test", False, "in domain"), shifted("other", True, "out of domain")]
    pd.DataFrame(rows).to_csv(folders / "reports" / "shift.csv", index=False)
    page = made(folders)
    assert page.count('<p class="banner warning">other is OUT OF DOMAIN') == 1
    assert "33.0 points" in page


def shifted(name: str, external: bool, verdict: str) -> dict[str, Any]:
    far = verdict != "in domain"
    return {
        "set": name, "external": external, "verdict": verdict, "share_far": 0.7 * far,
        "auroc": 0.9, "auroc_errors": np.nan, "overconfidence": 0.1,
        "fall": 0.33 if far else np.nan, "fall_low": 0.3, "fall_high": 0.4,
        "in_words": f"{name} is OUT OF DOMAIN" if far else "",
    }  # fmt: skip


def test_a_background_that_decides_is_a_banner_and_a_class_by_class_table(folders: Path) -> None:
    row = {"set": "test", "num_cells": 60, "false_alarms": 0.0}
    for name in ("plain", "cell_blanked", "background_blanked", "informedness"):
        row |= {name: 0.9, f"{name}_low": 0.8, f"{name}_high": 1.0}
    rows = [
        {**row, "class": "neutrophil", "background": "no", "warning": False, "in_words": "Fine."},
        {**row, "class": "basophil", "background": "decides", "warning": True,
         "in_words": "Warning: the background alone decides about basophil."},
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folders / "reports" / "shortcuts.csv", index=False)
    page = made(folders)
    assert '<p class="banner warning">Warning: the background alone decides' in page
    assert "Fine." in page.partition('id="summary"')[2].partition("</section>")[0]
    assert "decides" in words(page.partition('id="shortcuts"')[2])


def test_counts_are_shown_with_cautions_and_the_worst_one_in_the_summary(folders: Path) -> None:
    rows = [
        {
            "set": name, "class": label, "n": 90, "true_count": 18, "counted": 18, "percent": 20.0,
            "low": 12.0, "high": 30.0, "adjusted": np.nan if name == "val" else 21.0,
            "adjusted_low": 10.0, "adjusted_high": 31.0, "bias_points": bias, "bias_low": -4.0,
            "bias_high": 2.0,
        }
        for name, bias in (("val", 9.0), ("test", -2.5))
        for label in CLASSES
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folders / "reports" / "counts.csv", index=False)
    text = words(made(folders))
    assert "too few cells: 90" in text
    assert "off most for neutrophils of the test set: −2.5 points (−4.0 to +2.0)" in text
    assert "nan" not in text.replace("nancy", "")


def test_the_classical_baseline_chose_no_epoch(folders: Path) -> None:
    card = {**CARD, "architecture": "classical", "start": "none"}
    (folders / "models" / "model.json").write_text(json.dumps(card), encoding="utf-8")
    page = made(folders)
    text = (folders / "reports" / report.CARD_FILE).read_text(encoding="utf-8")
    assert "epoch was chosen" not in page and "chooses the epoch" not in text
    assert "cross-validation inside the training cells" in text


def test_one_seed_is_said_and_several_are_shown(folders: Path) -> None:
    assert "One training seed" in made(folders)
    spread = {"mean": 0.91, "sd": 0.01, "min": 0.9, "max": 0.92, "values": [0.9, 0.91, 0.92]}
    content = {"test": {"macro_f1": spread}}
    (folders / "reports" / "seeds.json").write_text(json.dumps(content), encoding="utf-8")
    text = words(made(folders))
    assert "3 training seeds" in text and "91.0 ± 1.0 (90.0–92.0)" in text


def test_parts_without_files_are_left_out_and_claimed_nowhere(folders: Path) -> None:
    page = made(folders)
    for name in ("counts", "shift", "shortcuts", "why"):
        assert f'id="{name}"' not in page
    assert "Other laboratories" not in words(page).partition("CLAIM 2024")[2]


@pytest.mark.parametrize("external", [True, False])
def test_external_validation_is_claimed_only_where_it_was(folders: Path, external: bool) -> None:
    """shift.csv has rows of val and test, too."""
    sources = CARD["sources"] if external else CARD["sources"][:1]
    card, path = {**CARD, "sources": sources}, folders / "models" / "model.json"
    path.write_text(json.dumps(card), encoding="utf-8")
    rows = [shifted(name, False, "in domain") for name in ("val", "test")]
    pd.DataFrame(rows).to_csv(folders / "reports" / "shift.csv", index=False)
    page = made(folders)
    assert 'id="shift"' in page
    lists = words(page.partition('id="checklists"')[2])
    for item in ("33 Testing on external data", "12d Heterogeneity between clusters",
                 "23b Heterogeneity of the performance"):  # fmt: skip
        assert (f"{item} Other laboratories" in lists) == external
        assert (f"{item} nothing yet: no cells of another laboratory" in lists) != external


def test_the_page_says_how_the_model_works(folders: Path) -> None:
    card = {**CARD, "input": {"size": 224, "crop": "cell", "context": 1.5}, "decision": "argmax"}
    (folders / "models" / "model.json").write_text(json.dumps(card), encoding="utf-8")
    text = words(made(folders))
    assert "A convolutional neural network of torchvision, from ImageNet weights" in text
    assert "224 × 224 pixels, around the leukocyte found, 1.5 cell diameters wide" in text
    assert "decision the most probable type" in text and "version.*" in text


def test_the_same_files_give_the_same_page_and_card(folders: Path) -> None:
    page = made(folders)
    card = (folders / "reports" / report.CARD_FILE).read_bytes()
    assert made(folders) == page
    assert (folders / "reports" / report.CARD_FILE).read_bytes() == card
    assert b"Not a medical device" in card
