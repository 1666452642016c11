"""What of a slide is counted, and what a person's answers change."""

from typing import Any

import numpy as np
import pytest

from tests.wbc.slides.cases import judged, perfect, row, unreadable
from wbc import counts
from wbc.cells import CLASSES
from wbc.slides import ranges
from wbc.slides.tally import COLUMNS, Slide, csv_rows, slide_of

ROWS = [
    *(row(f"n{i}", "neutrophil") for i in range(60)),
    *(row(f"l{i}", "lymphocyte") for i in range(40)),
    *(row(f"u{i}", "basophil", 0.4, uncertain=True) for i in range(5)),
    row("w", "monocyte", unlocated=True),
    row("both", "monocyte", 0.4, unlocated=True, uncertain=True),
    unreadable("x"),
]


def counted(labels: dict[str, str] | None = None, rows: Any = ROWS, **given: Any) -> Slide:
    one = judged(rows, **given)
    return slide_of("s", one, one.rows, labels or {}, ranges.read(), {})


def test_abstentions_are_in_no_percentage_and_have_one_reason_each() -> None:
    slide = counted()
    assert slide.num_counted == 100 and list(slide.table["n"]) == [100] * 5
    assert list(slide.table["counted"]) == [60, 40, 0, 0, 0]
    assert [slide.num(each) for each in ("uncertain", "unlocated", "unreadable")] == [5, 2, 1]
    assert list(slide.rows["path"][slide.rows["reason"] == "unlocated"]) == ["w", "both"]
    assert slide.caution.startswith("few cells: 100")


def test_a_person_s_answers_are_counted_as_given() -> None:
    slide = counted({"u0": "basophil", "u1": "monocyte", "u2": "other", "n0": "eosinophil"})
    assert list(slide.table["counted"]) == [59, 40, 1, 1, 1]
    assert list(slide.table["reviewed"]) == [0, 0, 1, 1, 1]
    assert (slide.num_reviewed, slide.num("other"), slide.num("uncertain")) == (4, 1, 2)
    row = slide.table.set_index("class").loc["basophil"]
    low, high = counts.rumke(np.array([1]), 102)
    assert (row["low"], row["high"]) == pytest.approx((low[0], high[0]), abs=1e-6)


def test_marks_want_both_intervals_outside_and_enough_cells() -> None:
    many = [row(f"e{i}", "eosinophil") for i in range(30)]
    slide = counted(rows=[*ROWS, *many], validation=perfect())
    assert slide.table.set_index("class")["mark"].to_dict() == {
        "neutrophil": "", "lymphocyte": "", "monocyte": "", "eosinophil": "high", "basophil": "",
    }  # fmt: skip
    assert slide.table.set_index("class").loc["eosinophil", "range_high"] == 4
    fewer = counted(rows=[*ROWS[20:70], *many], validation=perfect())
    assert fewer.num_counted == 80 and set(fewer.table["mark"]) == {""}
    confused = perfect()
    confused[0, 3] = 20  # so many neutrophils are counted as eosinophils that it may be them
    unsure = counted(rows=[*ROWS, *many], validation=confused)
    assert unsure.table.set_index("class").loc["eosinophil", "mark"] == ""


def test_a_slide_of_nothing_countable_has_rows_all_the_same() -> None:
    slide = counted(rows=[unreadable("x"), row("w", "monocyte", unlocated=True)])
    table = csv_rows(slide)
    assert slide.table.empty and list(table.columns) == list(COLUMNS)
    assert list(table["class"]) == list(CLASSES) and table["percent"].isna().all()
    assert set(table["caution"]) == {counts.caution(0)} and set(table["unreadable"]) == {1}


def test_out_of_domain_is_counted_where_the_model_can_tell() -> None:
    assert counted().num_out_of_domain() is None
    flagged = [{**each, "out_of_domain": i < 3} for i, each in enumerate(ROWS)]
    assert counted(rows=flagged).num_out_of_domain() == 3


def test_a_field_without_a_cell_is_no_cell() -> None:
    none = unreadable("f2.png") | {"unreadable": False, "unlocated": True, "error": ""}
    rows = [
        row("f1.png.1.png", "monocyte", field="f1.png", cut=True),
        row("f1.png.2.png", "basophil", field="f1.png", cut=False),
        none | {"field": "f2.png", "cut": False},
    ]
    slide = counted(rows=rows)
    assert (slide.num_counted, slide.num_read(), slide.num("unlocated")) == (2, 2, 1)
    assert (slide.of_fields, slide.num_fields, slide.num_cut) == (True, 2, 1)
    assert list(slide.rows["type"]) == ["monocyte", "basophil", ""]
    assert not counted().of_fields
