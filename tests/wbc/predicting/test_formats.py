"""wbc.predicting.formats: three formats with the same content; no cell becomes a formula."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from wbc.cells import CLASSES
from wbc.errors import UserError
from wbc.predicting import formats, rows

NUMBERS = {f"p_{name}": number / 10 for number, name in enumerate(CLASSES)}


def row(path: str = "a.png", **changes: Any) -> rows.Row:
    flags = dict.fromkeys(rows.FLAGS, False)
    return {
        "path": path,
        "class": CLASSES[0],
        **NUMBERS,
        "margin": 0.25,
        "distance": 0.5,
        **flags,
        "error": "",
    } | (changes)


BROKEN = row(
    "b;c.png",
    **dict.fromkeys(["class", "margin", "distance", *NUMBERS]),
    unreadable=True,
    error="x",
)


def test_csv() -> None:
    text = (formats.header(".csv", CLASSES) + formats.encoded(".csv", [row(), BROKEN])).decode()
    first, second = csv.DictReader(io.StringIO(text))
    assert first["path"] == "a.png" and first["p_basophil"] == "0.400000"
    assert (first["margin"], first["uncertain"], first["error"]) == ("0.250000", "False", "")
    assert (second["path"], second["class"], second["unreadable"]) == ("b;c.png", "", "True")
    assert '"b;c.png"' in text  # in quotes, for spreadsheets whose cells end at a ;


@pytest.mark.parametrize(
    "name",
    ["=1+1.png", "+1.png", "-1.png", "@SUM(A1).png", " =1.png", "＝1.png", "'=1.png", "''-a.png"],
)
def test_no_name_becomes_a_formula_and_each_can_be_had_back(name: str) -> None:
    line = formats.encoded(".csv", [row(name)]).decode()
    ((cell, *_),) = csv.reader(io.StringIO(line))
    assert cell == f"'{name}"


@pytest.mark.parametrize("name", ["a=1.png", "'a.png", "1-2.png", 'q"uote,.png', "Süd/ä.png"])
def test_other_names_stay_as_they_are(name: str) -> None:
    ((cell, *_),) = csv.reader(io.StringIO(formats.encoded(".csv", [row(name)]).decode()))
    assert cell == name


def test_a_reason_becomes_no_formula_either() -> None:
    line = formats.encoded(".csv", [row(error="=HYPERLINK()")]).decode()
    assert next(csv.reader(io.StringIO(line)))[-1] == "'=HYPERLINK()"


def test_json_lines_and_parquet_hold_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "ROW_GROUP", 2)
    given = [row("=1.png"), BROKEN, row("Süd.png"), row(), row()]
    lines = tmp_path / "lines"
    lines.write_bytes(formats.encoded(".parquet", given))
    assert [json.loads(line) for line in lines.read_bytes().splitlines()] == given
    formats.write_parquet(lines, tmp_path / "a.parquet", CLASSES)
    file = pyarrow.parquet.ParquetFile(tmp_path / "a.parquet")
    assert file.read().to_pylist() == given
    assert file.num_row_groups == 3  # so many rows at a time


def test_an_unknown_format_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"should end in \.csv, \.jsonl or \.parquet"):
        formats.suffix_of(Path("a.xlsx"))
    assert formats.suffix_of(Path("a.CSV")) == ".csv"
