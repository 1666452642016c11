"""Reference ranges and when a count is called low or high."""

from pathlib import Path

import pytest

from wbc.cells import CLASSES
from wbc.errors import UserError
from wbc.slides import ranges

GOOD = "about: ours\nsource: us\npercent:\n  eosinophil: [1, 5]\n"


def test_the_default_names_every_type_and_its_source() -> None:
    found = ranges.read()
    assert list(found.percent) == list(CLASSES)
    assert found.of("monocyte") == (2, 8) and "medlineplus.gov" in found.source


def test_a_laboratory_s_own_may_leave_types_out(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(GOOD)
    found = ranges.read(path)
    assert found.of("eosinophil") == (1, 5) and found.of("monocyte") is None


@pytest.mark.parametrize(
    "text",
    [
        "", "percent: 3", ": :", "about: a\nsource: b\npercent: {blast: [0, 1]}",
        GOOD.replace("[1, 5]", "[5, 1]"), GOOD.replace("[1, 5]", "[1]"),
        GOOD.replace("[1, 5]", "[1, 500]"), GOOD.replace("about: ours\n", ""),
        "[" * 3000, GOOD.replace("[1, 5]", "[1, 1" + "0" * 400 + "]"),
    ],
)  # fmt: skip
def test_what_is_no_ranges_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"ours.yaml.*percent: with neutrophil"):
        ranges.read(path)
    with pytest.raises(UserError, match="cannot be read"):
        ranges.read(tmp_path / "gone.yaml")


def test_a_mark_needs_every_interval_outside_on_one_side() -> None:
    assert ranges.mark([(9, 12), (8.1, 14)], (2, 8)) == "high"
    assert ranges.mark([(9, 12), (7.9, 14)], (2, 8)) == ""
    assert ranges.mark([(0, 1.9)], (2, 8)) == "low"
    assert ranges.mark([(0, 1.9), (8.1, 9)], (2, 8)) == ""
    assert ranges.mark([(0, 2)], (2, 8)) == ""  # the end of a range is in it
    assert ranges.mark([(0, 0.1)], None) == ""
