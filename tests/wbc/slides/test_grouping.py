"""Which cells are of one slide."""

import unicodedata
from pathlib import Path

import pytest

from wbc.errors import UserError
from wbc.slides.grouping import UNKNOWN, file_names, slides_of

NAMES = ["b/x/1.png", "b/2.png", "a/3.png", "4.png"]


def test_folders_are_slides_and_loose_pictures_are_one_of_the_folder_s_name() -> None:
    assert slides_of(NAMES, Path("/lab/week 3"), "folders") == ["b", "b", "a", "week 3"]
    assert slides_of(NAMES, Path("/lab/week 3"), "one") == ["week 3"] * 4
    assert slides_of(["1.png"], Path("/lab/w\udcff\n"), "one") == ["w%FF%0A"]  # what pages can hold


def test_a_pattern_reads_the_slide_from_the_file_s_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = ["x_/95-8_1.png", "x_/95-8_2.png", "95-9_1.png", "loose.png"]
    assert slides_of(names, Path(), "^([0-9-]+)_") == ["95-8", "95-8", "95-9", UNKNOWN]
    assert "1 file names tell no slide" in caplog.text


def test_an_umlaut_of_one_or_two_signs_is_the_same_slide() -> None:
    names = [unicodedata.normalize(form, "Müller/Müller_1.png") for form in ("NFC", "NFD")]
    assert names[0] != names[1]
    for rule in ("folders", "^([a-zA-Zü]+)_"):
        assert slides_of(names, Path("/lab"), rule) == [names[0][:6]] * 2


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("(", "is none"),
        ("(a{99999999999})", "is none"),
        ("(" * 3000 + ")" * 3000, "is none"),
        ("^a", "in parentheses"),
        ("^(z)", "fits no file name, for example not 1"),
    ],
)
def test_a_pattern_that_cannot_work_is_one_sentence(rule: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        slides_of(NAMES, Path(), rule)


def test_pages_have_names_that_differ_and_hold_no_odd_sign() -> None:
    names = file_names(["a b", "a/b", "A-B", "…", "../../etc"])
    assert names == {
        "a b": "a-b.html", "a/b": "a-b-2.html", "A-B": "A-B-3.html", "…": "slide.html",
        "../../etc": "etc.html",
    }  # fmt: skip
