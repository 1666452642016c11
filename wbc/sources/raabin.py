"""Raabin-WBC: Train, Test-A and Test-B as published, from Kaggle or already at hand.

Kouzehkanan et al.: A large dataset of white blood cells containing cell locations and types,
along with segmented nuclei and cytoplasm, Scientific Reports 12, 1123, 2022.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from wbc.errors import UserError
from wbc.fetching import Unavailable
from wbc.params import RaabinSource
from wbc.sources import incoming, kaggle
from wbc.sources.incoming import Cell
from wbc.sources.labels import is_mask, label_of, split_of

HANDLE = "masoudnickparvar/white-blood-cells-dataset"
_SMEAR = re.compile(r"(\d+(?:-\d+)+|\d{8})_")

log = logging.getLogger(__name__)


def fetch(source: RaabinSource, target: Path, root: Path) -> pd.DataFrame:
    """Copy the images of Raabin-WBC below `target` and return their rows.

    Raises:
        UserError: it cannot be downloaded or is not there, or Train or Test-A is missing.
    """
    path = str(_downloaded().resolve()) if source.path == "kaggle" else source.path
    with incoming.opened(path, root, target) as material:
        listing = incoming.list_files(material.folder)
        cells = cells_of_layout(listing.images, source.name, source.path)
        incoming.log_skipped(source.name, listing)
        return incoming.place(cells, material, target, source.name)


def _downloaded() -> Path:
    try:
        return kaggle.dataset(HANDLE)
    except Unavailable as error:
        raise type(error)(
            f"Raabin-WBC cannot be downloaded: {error} Or fetch the zip from"
            f" https://www.kaggle.com/datasets/{HANDLE} elsewhere, bring it here with `dvc"
            " import-url /your/raabin.zip data/incoming/raabin.zip` and set `path:"
            " data/incoming/raabin.zip` in params.yaml."
        ) from None


def cells_of_layout(images: Sequence[PurePosixPath], name: str, where: str) -> list[Cell]:
    """The cells below Train, Test-A and Test-B, each in a class folder; the rest is named only.

    Case does not matter, nor folders above or between.

    Raises:
        UserError: Train or Test-A holds no cell.
    """
    cells, outside = [], []
    for path in images:
        label, split = _meaning(path.parts[:-1])
        if split in ("train", "test_a", "test_b") and label:
            cells.append(Cell(path, label, smear(path.name), split))
        else:
            outside.append(path)
    found = {cell.official_split for cell in cells}
    if not {"train", "test_a"} <= found:
        raise UserError(
            f"source {name}: {where} was expected to hold Train and Test-A (and perhaps Test-B)"
            f" with class folders, found {', '.join(sorted(found)) or 'neither'} and"
            f" {len(outside)} images elsewhere ({incoming.shorten(outside)}); see"
            f" https://www.kaggle.com/datasets/{HANDLE}."
        )
    if outside:
        log.warning(
            "%s: skipped %d images outside the class folders of Train, Test-A and Test-B (%s)",
            name,
            len(outside),
            incoming.shorten(outside),
        )
    if "test_b" not in found:
        log.warning("%s: there is no Test-B, so nothing is said about a second microscope", name)
    if num_unknown := sum(not cell.group for cell in cells):
        log.warning("%s: %d file names tell no smear", name, num_unknown)
    return cells


def _meaning(folders: Sequence[str]) -> tuple[str, str]:
    """Label and part of an image; "" for the label where its folders name none, two, or masks."""
    last = max((n for n, name in enumerate(folders) if split_of(name)), default=None)
    if last is None:
        return "", ""
    below = folders[last + 1 :]
    labels = {label for name in below if (label := label_of(name))}
    clear = len(labels) == 1 and not any(map(is_mask, below))
    return (labels.pop() if clear else ""), split_of(folders[last]) or ""


def smear(file_name: str) -> str:
    """The smear in a file name: `95-8-10-1_430_1.jpg` -> `95-8-10-1`; "" where it tells none.

    Basophils carry date and time instead, `20190526_162951_0.jpg`: the date is the group.
    """
    match = _SMEAR.match(file_name)
    return match[1] if match else ""
