"""KRD-WBC: 600 fields of 512 x 512 pixels, one leukocyte and its mask each (Mendeley Data).

Taha, Alizadeh, Mohammad: Creating a white blood cell dataset for segmentation, version 2, 2023,
doi:10.17632/jzdj6h7gms.2, CC BY 4.0. Nothing is published about patients or smears: the group is
unknown.
"""

import csv
import difflib
import logging
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from wbc import archives
from wbc.errors import UserError, one_line, shown
from wbc.fetching import Unavailable, download, downloads_dir
from wbc.params import KrdWbcSource
from wbc.sources import incoming
from wbc.sources.incoming import Cell
from wbc.sources.labels import label_of

URL = "https://data.mendeley.com/public-api/zip/jzdj6h7gms/download/2"
PAGE = "https://data.mendeley.com/datasets/jzdj6h7gms/2"
_TABLE = "class labels.csv"

log = logging.getLogger(__name__)


def fetch(source: KrdWbcSource, target: Path, root: Path) -> pd.DataFrame:
    """Copy images and masks of KRD-WBC below `target` and return the rows of the images.

    Raises:
        UserError: it cannot be downloaded or is not there, or its table cannot be read.
    """
    path = str(_downloaded(root).resolve()) if source.path == "mendeley" else source.path
    with incoming.opened(path, root, target) as material:
        listing = incoming.list_files(material.folder)
        tables = [path for path in listing.others if path.name.lower() == _TABLE]
        if len(tables) != 1:
            raise UserError(
                f"{source.path} was expected to hold one {_TABLE!r} beside the folder Dataset,"
                f" found {len(tables)}; see {PAGE} for the layout."
            )
        labels, repairs = repair((material.folder / tables[0]).read_bytes())
        if repairs:
            log.info("%s: repaired in %s: %s", source.name, _TABLE, "; ".join(repairs))
        return incoming.place(
            cells(labels, listing.images, source.name), material, target, source.name
        )


def _downloaded(root: Path) -> Path:
    target = downloads_dir(root) / "krd-wbc-2.zip"
    try:
        download(URL, target)
    except Unavailable as error:
        raise type(error)(
            f"KRD-WBC cannot be downloaded: {error} Or fetch the zip from {PAGE} elsewhere, bring"
            " it here with `dvc import-url /your/krd-wbc.zip data/incoming/krd-wbc.zip` and set"
            " `path: data/incoming/krd-wbc.zip` in params.yaml."
        ) from None
    if not archives.is_archive(target):
        target.unlink()
        raise UserError(
            f"{URL} sent something that is no zip; fetch KRD-WBC by hand from {PAGE} and set `path:"
            " data/incoming/krd-wbc.zip`."
        )
    return target


def repair(data: bytes) -> tuple[dict[int, str], list[str]]:
    """Read `class labels.csv` in spite of its known defects.

    Returns the label of every image number, and what had to be repaired, one phrase each.

    Raises:
        UserError: a row cannot be understood, or contradicts another.
    """
    repairs = []
    if data.startswith(b"\xef\xbb\xbf"):
        repairs.append("byte-order mark removed")
    header, *rows = _rows(data) or [[]]
    if header[1:] and header[1].strip() != "Category":
        repairs.append(f"header {header[1]!r} read as 'Category'")
    labels: dict[int, str] = {}
    num_capitals = 0
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        match = re.fullmatch(r"\s*([A-Za-z]+)[ _]?0*(\d{1,9})(?:\.\w+)?\s*", row[0])
        label = label_of(row[1]) if len(row) > 1 else None
        if match is None or label is None or not _means_image(match[1]):
            raise UserError(
                f"{_TABLE}: the row {shown(','.join(row))} was expected to be an image such as"
                " Image1 and one of the five classes; mend it."
            )
        word, number = match[1], int(match[2])
        if word.lower() != "image":
            repairs.append(f"{row[0].strip()} read as image{number}")
        num_capitals += word == "Image"
        if labels.setdefault(number, label) != label:
            raise UserError(f"{_TABLE} gives image{number} two classes; keep one row.")
    if num_capitals:
        repairs.append(f"{num_capitals} ids ImageN read as imageN, as the files are named")
    return labels, repairs


def _rows(data: bytes) -> list[list[str]]:
    try:
        return list(csv.reader(data.decode("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{_TABLE} cannot be read as a CSV in UTF-8 ({one_line(error)}); fetch it again."
        ) from None


def _means_image(word: str) -> bool:
    return difflib.SequenceMatcher(None, word.lower(), "image").ratio() >= 0.6


def cells(labels: dict[int, str], images: Sequence[PurePosixPath], name: str) -> list[Cell]:
    """Images, labels and masks put together by their numbers; what lacks a partner is named."""
    numbered = _numbered(images, "image")
    masks = _numbered(images, "mask")
    for kind, lacking in (
        ("rows of the table without an image", labels.keys() - numbered.keys()),
        ("images without a row in the table", numbered.keys() - labels.keys()),
        ("images without a mask", (numbered.keys() & labels.keys()) - masks.keys()),
    ):
        if lacking:
            log.warning(
                "%s: %d %s: %s", name, len(lacking), kind, incoming.shorten(sorted(lacking))
            )
    return [
        Cell(numbered[number], labels[number], mask=masks.get(number))
        for number in sorted(numbered.keys() & labels.keys())
    ]


def _numbered(images: Sequence[PurePosixPath], word: str) -> dict[int, PurePosixPath]:
    found = ((re.fullmatch(rf"{word}0*(\d{{1,9}})", path.stem.lower()), path) for path in images)
    return {int(match[1]): path for match, path in found if match}
