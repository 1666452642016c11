"""wbc.slides.copies: the same bytes are one picture of a slide, whatever leads to them."""

import os
from pathlib import Path

import pytest

from wbc.page import Page, Section, render
from wbc.slides.copies import copies_in, listed


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    content = {"a/1": b"one", "a/2": b"two", "a/3": b"longer", "a/4": b"one", "b/1": b"one"}
    found = {name: tmp_path / name.replace("/", "-") for name in content}
    for name, path in found.items():
        path.write_bytes(content[name])
    found |= {name: tmp_path / name.replace("/", "-") for name in ("a/hard", "a/link", "a/gone")}
    os.link(found["a/3"], found["a/hard"])
    found["a/link"].symlink_to(found["a/2"])
    found["a/gone"].symlink_to(tmp_path / "nowhere")
    return found


def test_copies_hard_links_and_links_are_left_out_of_their_slide(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    slides = {name: name[0] for name in files}
    assert copies_in(files, slides) == {"a": {"a/4": "a/1", "a/hard": "a/3", "a/link": "a/2"}}
    assert "3 copies to the byte in the same slide" in caplog.text
    assert "Pictures that lie in several slides: 1; they count in each." in caplog.text


def test_nothing_is_said_where_there_is_none(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    few = {name: files[name] for name in ("a/1", "a/2", "a/3", "a/gone")}
    assert copies_in(few, dict.fromkeys(few, "s")) == {} and not caplog.text
    assert listed({}) == []


def test_the_page_names_each() -> None:
    text = render(Page("s", "lead", [Section("x", "X", listed({"a <i>": "b"}))], []))
    assert "other files in this slide: 1." in text and "a &lt;i&gt;" in text
