"""A self-contained HTML page out of texts, tables and pictures: no network, no script.

All text is escaped; pictures lie in the page as base64. The same blocks give the same bytes.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

MAX_PNG = 200_000  # bytes; only photographs are larger
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Text:
    """A paragraph, a heading below the section's, a warning, or commands to type."""

    text: str
    kind: Literal["text", "heading", "warning", "commands"] = "text"


@dataclass(frozen=True)
class Items:
    """Short sentences below each other."""

    items: Sequence[str]
    kind: str = "items"


@dataclass(frozen=True)
class Cell:
    """What a table's cell says, what stands small below it, and small pictures before it.

    `pictures` are JPEGs in base64; "" is one that could not be had. `link` is where the text leads.
    """

    text: str
    small: str = ""
    pictures: Sequence[str] = ()
    link: str = ""


@dataclass(frozen=True)
class Table:
    """`words`: columns of words, which stand to the left; the first column always does.

    `folded` is what stands for the table until it is opened, "" for one that is open.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    words: Sequence[int] = ()
    folded: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG; `alt` says what it shows to those who cannot see it."""

    base64: str
    alt: str
    caption: str = ""
    format: str = "png"
    kind: str = "picture"


@dataclass(frozen=True)
class Tile:
    """A small picture with what stands below it; `pictures` as of a Cell."""

    pictures: Sequence[str]
    text: str
    small: str = ""


@dataclass(frozen=True)
class Gallery:
    """Tiles beside each other, as many as the page is wide."""

    tiles: Sequence[Tile]
    kind: str = "gallery"


Block = Text | Items | Table | Picture | Gallery


@dataclass(frozen=True)
class Section:
    """`name` is its anchor, for links into the page."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Banner:
    """What must not be overlooked, at the top of the page."""

    text: str
    kind: Literal["warning", "note"] = "warning"


NOT_A_DEVICE = Banner("Not a medical device: no result may decide about a patient.", "note")


@dataclass(frozen=True)
class Page:
    title: str
    lead: str
    sections: Sequence[Section]
    banners: Sequence[Banner] = ()
    footer: str = field(default="Research software; not a medical device.")


def render(page: Page) -> str:
    """The page's HTML; sections without blocks are left out."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    shown = [section for section in page.sections if section.blocks]
    return environment.get_template("page.html").render(
        page=Page(page.title, page.lead, shown, page.banners, page.footer)
    )


def picture(path: Path, alt: str, caption: str = "") -> list[Picture]:
    """The PNG at `path` as a block, or nothing where there is none."""
    if not path.is_file():
        return []
    content, kind = _smaller(path.read_bytes())
    return [Picture(base64.b64encode(content).decode("ascii"), alt, caption, kind)]


def _smaller(png: bytes) -> tuple[bytes, str]:
    """A PNG of photographs as a JPEG, a quarter of its size; drawings stay as they are."""
    if len(png) < MAX_PNG:
        return png, "png"
    content = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(content, "JPEG", quality=88, subsampling=0)
    return content.getvalue(), "jpeg"


def table(frame: pd.DataFrame, caption: str = "") -> Table:
    """A data frame as it stands: words to the left, floats with four digits, – for nothing."""
    words = [
        position
        for position, name in enumerate(frame.columns)
        if any(isinstance(value, str) for value in frame[name])
    ]
    rows = [[Cell(plain(value)) for value in row] for row in frame.itertuples(index=False)]
    return Table([str(name) for name in frame.columns], rows, caption, words)


def plain(value: object) -> str:
    """A value as a table shows it."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
