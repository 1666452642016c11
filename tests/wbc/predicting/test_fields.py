"""`predict --fields`: a row a cell, the answers of single pictures, stops, annotated pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.mlflow_home import card
from tests.wbc import pictures
from tests.wbc.predicting.test_command import MODEL, home, options, refused, stop, template
from tests.wbc.test_fields import field
from wbc import cli
from wbc.cells import CLASSES
from wbc.decoding import decode
from wbc.errors import UserError
from wbc.predicting import command, part
from wbc.predicting import fields as smear
from wbc.predicting.rows import PLACE

__all__ = ["home", "template"]  # fixtures

CELLS = [(120.0, 130.0), (520.0, 240.0), (300.0, 400.0)]


@pytest.fixture
def folder(home: Path) -> Path:
    """Fields with 3, 0, 2 and 1 cells, one of them unreadable."""
    fields = home / "fields"
    fields.mkdir()
    several = [CELLS, [], CELLS[:2], CELLS[2:]]
    for number, cells in enumerate(several):
        picture = Image.fromarray(field(cells))
        (fields / f"{number}.png").write_bytes(pictures.encoded(picture))
    (fields / "4.png").write_bytes(b"no picture")
    return fields


def predict(*arguments: str) -> None:
    cli.main(["predict", "--fields", *arguments, *MODEL])


def test_a_row_for_each_cell_and_one_for_a_field_without(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        predict("fields", "--out", "a.jsonl")
    rows = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [(row["path"][7:], row["cell"]) for row in rows] == [
        ("0.png", 1), ("0.png", 2), ("0.png", 3), ("1.png", 0), ("2.png", 1), ("2.png", 2),
        ("3.png", 1), ("4.png", None),
    ]  # fmt: skip
    none, broken = rows[3], rows[7]
    assert (none["unlocated"], none["unreadable"], none["class"], none["x"]) == (
        True, False, None, None,
    )  # fmt: skip
    assert (broken["unreadable"], broken["error"]) == (True, "not an image")
    for row, (x, y) in zip(rows[:3], sorted(CELLS, key=lambda cell: cell[1]), strict=True):
        assert row["x"] < x < row["x"] + row["width"] and row["y"] < y < row["y"] + row["height"]
        assert row["class"] in CLASSES and row["cut"] is False
    assert "8 rows of 5 fields" in " ".join(caplog.messages)
    assert "1 fields without a leukocyte found, 1 unreadable" in " ".join(caplog.messages)


def test_one_cell_gets_the_answer_that_it_gets_without_fields(folder: Path) -> None:
    predict("fields/3.png", "--out", "a.jsonl")
    cli.main(["predict", "fields/3.png", "--out", "b.jsonl", *MODEL])
    with_place, without = (json.loads(Path(name).read_text()) for name in ("a.jsonl", "b.jsonl"))
    assert {name: with_place[name] for name in without} == without
    assert set(with_place) - set(without) == set(PLACE)


def test_all_formats_say_the_same(folder: Path) -> None:
    for suffix in ("jsonl", "csv", "parquet"):
        predict("fields", "--out", f"a.{suffix}")
    wanted = pd.read_json("a.jsonl", lines=True)
    from_csv, from_parquet = pd.read_csv("a.csv"), pd.read_parquet("a.parquet")
    assert list(wanted.columns) == list(from_csv.columns) == list(from_parquet.columns)
    for table in (from_csv, from_parquet):
        assert list(table["path"]) == list(wanted["path"])
        assert list(table["class"].fillna("")) == list(wanted["class"].fillna(""))
        for name in (*PLACE, "p_monocyte", "unlocated"):
            a, b = (one[name].astype(float).to_numpy() for one in (table, wanted))
            np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_stop_loses_no_cell_and_does_none_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Batches end with a field: 3 cells and the empty one; 2, 1 and the broken one."""
    predict("fields", "--out", "whole.csv", "--annotate", "whole")
    for batch in range(2):
        out = Path(f"{moment}-{batch}.csv")
        given = options("fields", str(out))
        given.fields, given.annotate = True, f"{moment}-{batch}"
        with monkeypatch.context() as patch:
            stop(patch, moment, batch)
            with pytest.raises(KeyboardInterrupt, match="stopped"):
                command.run(given)
        state = json.loads(part.record_path(out).read_text())
        assert (state["files"], state["rows"]) == ((0, 0), (2, 4))[batch]
        refused("made with another --fields", "fields", "--out", str(out), *MODEL) if batch else ()
        predict("fields", "--out", str(out), "--annotate", given.annotate)
        assert out.read_bytes() == Path("whole.csv").read_bytes()
        assert sorted(path.name for path in Path(given.annotate).iterdir()) == sorted(
            path.name for path in Path("whole").iterdir()
        )


def test_a_field_with_more_cells_than_a_batch_stays_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict("fields/0.png", "--out", "a.jsonl")
    monkeypatch.setattr(command, "BATCH", 2)
    predict("fields/0.png", "--out", "b.jsonl")
    a, b = (pd.read_json(name, lines=True).round(4) for name in ("a.jsonl", "b.jsonl"))
    pd.testing.assert_frame_equal(a, b)


def test_annotated_pictures_show_boxes_and_are_not_overwritten(folder: Path) -> None:
    predict("fields", "--annotate", "shown", "--out", "a.jsonl")
    shown = sorted(Path("shown").iterdir())
    assert [path.name[:9] for path in shown] == [f"fields_{n}-" for n in range(4)]
    rows = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    plain, drawn = decode((folder / "0.png").read_bytes()), decode(shown[0].read_bytes())
    changed = np.abs(plain.astype(int) - drawn).max(axis=2) > 60
    for row in rows[:3]:
        bottom = row["y"] + row["height"] - 2
        assert changed[bottom, row["x"] + 4 : row["x"] + row["width"] - 4].mean() > 0.9
    assert not changed[:5, 600:].any()
    refused("holds files already", "fields", "--fields", "--annotate", "shown",
            "--out", "b.jsonl", *MODEL)  # fmt: skip
    assert not Path("b.jsonl").exists()
    predict("fields/0.png", "--annotate", "shown", "--out", "a.jsonl", "--restart")
    refused("cannot be one", "fields", "--fields", "--annotate", "a.jsonl",
            "--out", "b.jsonl", *MODEL, "--restart")  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd.png", "/a/b.png", "a\0b", "x" * 400, "..", "ä/ü.tif", "-rf", "\udc80"],
)
def test_names_of_annotated_pictures_lead_nowhere(name: str) -> None:
    safe = smear.file_name(name)
    assert "/" not in safe and safe[0] not in ".-" and len(safe.encode()) < 110
    assert safe.isascii() and safe.isprintable() and safe.endswith(".jpg")


def test_fields_of_one_name_but_for_odd_characters_share_no_file() -> None:
    assert smear.file_name("a/b.png") != smear.file_name("a_b.png")


def test_what_fields_cannot_do_is_one_sentence(folder: Path) -> None:
    refused("--annotate draws boxes into whole fields; add --fields", "fields", "--annotate", "x",
            *MODEL)  # fmt: skip
    refused("whose pictures are judged, so its own would be too", str(folder), "--fields",
            "--annotate", str(folder / "shown"), *MODEL)  # fmt: skip
    assert not (folder / "shown").exists()
    classifier: Any = type("Classifier", (), {"card": card(input={"size": 64, "crop": "none"})})
    with pytest.raises(UserError, match="learned from whole pictures"):
        command._check_fields(command.Job(classifier, None, ".csv", 0.5, fields=True))
