"""wbc.spreadsheets: no text becomes a formula, also where cells end at a semicolon."""

import csv
import io
import re

import pandas as pd
import pytest

from wbc.spreadsheets import safe_text

FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "a;=1+1;b",
        "a; @SUM(1)",
        ";＝1",
        "=1;-1;+1",
        "a;'=1",
        "a;\"=cmd|' /C calc'!A0;",
        '"=1',
    ],
)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_no_column_becomes_a_formula_wherever_cells_end(name: str, quoting: int) -> None:
    table = pd.DataFrame({"first": [safe_text(name)], "second": [safe_text(name)]})
    text = table.to_csv(index=False, quoting=quoting)  # type: ignore[call-overload]
    for separator in ",;":
        rows = csv.reader(io.StringIO(text), delimiter=separator)
        assert not [cell for row in rows for cell in row if FORMULA.match(cell)]
    assert re.sub(r"""(^|;)'(?=['"\s]*[=+\-@＝＋－＠])""", r"\1", safe_text(name)) == name


@pytest.mark.parametrize("name", ["a.png", "a;b=1", "1-2;3+4", "'a;'b", 'q"uote;,'])
def test_other_texts_stay_as_they_are(name: str) -> None:
    assert safe_text(name) == name
