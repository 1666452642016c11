"""The report says what happened, and the tables agree with it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from wbc import split_report, splits
from wbc.cells import CLASSES
from wbc.duplicates import Copies
from wbc.leaks import Outcome
from wbc.params import Split

SETTINGS = Split(
    seed=7,
    val_share=0.15,
    test_share=0.2,
    max_group_share=0.3,
    duplicates="drop",
    near_duplicate_bits=10,
)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Raabin with two tests, one smear in train and test, copies and faults; a lab outside."""
    rows = []
    for number in range(400):
        part = ("train", "train", "train", "test_a", "test_b")[number % 5]
        smear = "both" if number in (0, 3) else f"{part}-{number % 37}"
        rows.append((f"raabin/{number:03d}.jpg", CLASSES[number // 5 % 5], smear, "raabin", part))
    rows += [(f"lab/{number:03d}.jpg", CLASSES[number % 5], "", "lab", "") for number in range(20)]
    cells = pd.DataFrame(rows, columns=["path", "label", "group", "source", "official_split"])
    cells["role"] = np.where(cells["source"] == "lab", "external", "auto")
    cells = cells.assign(sha256="", width=1, height=1, mask="")
    picture = np.arange(420)
    picture[[8, 27]] = [5, 26]  # test_a as train, the same label; two of training, other labels
    cells.loc[27, "label"] = "basophil"
    near = np.array([[10, 400, 3], [13, 14, 6]])  # training and lab; test_a and test_b
    picture[1] = -1
    unreadable = ["", "truncated", *[""] * 418]
    return splits.assign(cells, Copies(picture, near), unreadable, SETTINGS)


def section(report: str, title: str) -> str:
    return report.split(f"## {title}\n")[1].split("\n## ")[0]


def test_pairs_have_distance_sides_and_action(outcome: Outcome) -> None:
    table = split_report.pairs(outcome)
    assert tuple(table.columns) == split_report.PAIR_COLUMNS
    lines = table.to_csv(index=False, header=False).splitlines()
    assert lines == [
        "lab/000.jpg,raabin/010.jpg,near,3,neutrophil,monocyte,lab,train,left out path_b",
        "raabin/008.jpg,raabin/005.jpg,exact,0,lymphocyte,lymphocyte,test_a,train,left out path_b",
        "raabin/013.jpg,raabin/014.jpg,near,6,monocyte,monocyte,test_a,test_b,kept both",
        "raabin/026.jpg,raabin/027.jpg,exact,0,neutrophil,basophil,train,train,left out both",
    ]


def test_summary_counts_every_cell_once(outcome: Outcome) -> None:
    summary = split_report.summary(outcome)
    totals = {split: counts["total"] for split, counts in summary["cells"].items()}
    assert sum(totals.values()) + summary["left_out"] == 420
    assert totals["test_a"] == 80 and totals["test_b"] == 80 and totals["lab"] == 20
    assert summary["left_out"] == 5 and summary["unreadable"] == 1
    assert summary["exact_copies"] == 2 and summary["near_copies"] == 2
    assert summary["copies_across_splits"] == 2 and summary["label_conflicts"] == 1
    assert summary["smears_in_train_and_test"] == 1
    assert json.loads(json.dumps(summary)) == summary


def test_report_for_a_reader(outcome: Outcome) -> None:
    report = split_report.report(outcome, SETTINGS)
    counts = split_report.summary(outcome)["cells"]
    for name in CLASSES:
        row = [counts[split][name] for split in ("train", "val", "test_a", "test_b", "lab")]
        line = f"| {name} | " + " | ".join(map(str, row)) + " |"
        assert line in section(report, "Cells of each class")
    assert "official test sets kept whole: test_a, test_b" in report
    assert "external: never trained on" in report
    assert "may flatter" not in report
    assert "The largest (all are in groups.csv):\n\n| source | smear |" in section(report, "Smears")
    overlaps = section(report, "Smears in both training and an official test set")
    assert overlaps.count("| raabin | ") == 1 and "| raabin | both | " in overlaps
    assert "| lab/000.jpg | raabin/010.jpg | near | lab | train | left out path_b |" in report
    conflicts = section(report, "Label conflicts")
    assert "Exact pairs with different labels: 1." in conflicts and "raabin/027.jpg" in conflicts
    left_out = section(report, "Cells left out")
    assert "5 of 420" in left_out and "| raabin/001.jpg | unreadable: truncated |" in left_out


def own_cells() -> pd.DataFrame:
    """A source of 100 cells that names no smears, four classes of five."""
    return pd.DataFrame(
        {
            "path": [f"own/{number:03d}.jpg" for number in range(100)],
            "label": [CLASSES[number % 4] for number in range(100)],
            "group": "",
            "source": "own",
            "role": "auto",
            "official_split": "",
        }
    )


NO_COPIES = np.zeros((0, 3), np.int64)


@pytest.mark.parametrize(
    ("role", "official", "taken"),
    [("auto", "", "test"), ("train", "", "validation"), ("auto", "test", "validation")],
)
def test_a_source_without_smears_is_said_to_flatter(role: str, official: str, taken: str) -> None:
    cells = own_cells().assign(role=role)
    cells.loc[cells.index % 5 == 0, "official_split"] = official
    outcome = splits.assign(cells, Copies(np.arange(100), NO_COPIES), [""] * 100, SETTINGS)
    report = split_report.report(outcome, SETTINGS)
    assert "at random, cell by cell" in report
    assert f"its {taken} score may flatter" in report
    assert "The largest (all" not in report


def test_warnings_and_long_tables() -> None:
    copies = Copies(np.full(100, -1), NO_COPIES)
    broken = splits.assign(own_cells(), copies, ["empty file"] * 100, SETTINGS)
    report = split_report.report(broken, replace(SETTINGS, duplicates="stop"))
    assert "- train has no neutrophil, no lymphocyte" in section(report, "Warnings")
    assert "… and 70 more." in report and "own/029.jpg" in report and "own/030.jpg" not in report
    assert "Copies across splits stop the pipeline." in report


def test_names_in_a_table_are_text_in_one_line() -> None:
    table = split_report._table(["smear"], [["<img src=x>\n|a|"]])
    assert table.splitlines()[-1] == "| &lt;img src=x&gt; \\|a\\| |"


def test_groups_hold_every_cell_that_has_a_split(outcome: Outcome) -> None:
    table = split_report.groups(outcome)
    assert table["cells"].sum() == (outcome.table["split"] != "").sum()
    assert not table.duplicated(["source", "group", "split", "label"]).any()
