"""Pages are self-contained, escaped, and the same bytes from the same blocks."""

import base64
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from wbc.page import (
    Banner,
    Cell,
    Gallery,
    Items,
    Page,
    Picture,
    Section,
    Table,
    Text,
    Tile,
    picture,
    render,
    table,
)

NASTY = '<script>alert("x")</script> & "quotes" \'too\'.jpg'
PIXEL = base64.b64encode(b"not really a PNG").decode()


class Tags(HTMLParser):
    """Collects every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def page(words: str = "words") -> Page:
    blocks = [
        Text(words),
        Text(words, "warning"),
        Text(words, "commands"),
        Items([words]),
        Table(["name", "value"], [[Cell(words), Cell("1", words)]], words),
        Picture(PIXEL, words, words),
        Gallery([Tile([""], words, words)]),
    ]
    return Page(words, words, [Section("one", words, blocks), Section("none", "Empty", [])],
                [Banner(words)])  # fmt: skip


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_run() -> None:
    for tag, attributes in Tags(render(page())).found:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:image/png;base64,", "#")) or not value


def test_words_are_escaped_everywhere() -> None:
    text = render(page(NASTY))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 17  # every place that takes words


def test_a_section_without_blocks_is_neither_shown_nor_listed() -> None:
    text = render(page())
    assert 'href="#one"' in text and 'id="one"' in text
    assert "Empty" not in text


def test_the_same_blocks_give_the_same_text() -> None:
    assert render(page()) == render(page())


def test_galleries_hold_pictures_and_cells_may_lead_elsewhere() -> None:
    tiles = [Tile([PIXEL, PIXEL], "two"), Tile([""], "none")]
    rows = [[Cell("slide", link='slides/a"b.html')]]
    text = render(Page("t", "l", [Section("s", "s", [Gallery(tiles), Table(["x"], rows)])]))
    tags = Tags(text).found
    sources = [attributes["src"] for tag, attributes in tags if tag == "img"]
    assert sources == [f"data:image/jpeg;base64,{PIXEL}"] * 2 and "(no picture)" in text
    assert ("a", {"href": 'slides/a"b.html'}) in tags


def test_a_picture_that_is_not_there_is_no_block(tmp_path: Path) -> None:
    assert picture(tmp_path / "none.png", "nothing") == []
    (tmp_path / "one.png").write_bytes(b"not really a PNG")
    assert picture(tmp_path / "one.png", "one") == [Picture(PIXEL, "one")]


def test_a_frame_as_a_table() -> None:
    frame = pd.DataFrame({"name": ["a"], "share": [0.123456], "count": [12345], "none": [None]})
    shown = table(frame)
    assert [cell.text for cell in shown.rows[0]] == ["a", "0.1235", "12,345", "–"]
    assert shown.words == [0]
