"""Any folder, zip or tar of class folders, optionally with a CSV that names the cells.

Class folders may lie below folders train, val and test, or hold them, and all of it below wrapping
folders.
"""

import io
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from wbc.cells import CLASSES
from wbc.disk import is_file
from wbc.errors import UserError
from wbc.params import FolderSource
from wbc.sources import incoming
from wbc.sources.incoming import Cell
from wbc.sources.labels import (
    doubtful,
    is_mask,
    is_validation,
    label_of,
    split_of,
    wrapping,
)

_SEPARATOR_LINE = re.compile(r"\Asep=[,;\t]\s*\n")  # Excel's, before the columns' names

log = logging.getLogger(__name__)


def fetch(source: FolderSource, target: Path, root: Path) -> pd.DataFrame:
    """Copy the images of a folder source below `target` and return their rows.

    Raises:
        UserError: nothing there, a folder that names no class, a wrong table or group pattern.
    """
    with incoming.opened(source.path, root, target) as material:
        listing = incoming.list_files(material.folder)
        if source.table:
            table = _read_table(material.folder, source)
            cells = cells_of_table(table, listing.images, source)
        else:
            cells = cells_of_folders(listing.images, source.path)
        incoming.log_skipped(source.name, listing)
        return incoming.place(
            with_groups(cells, source.group_pattern, source.name), material, target, source.name
        )


def cells_of_folders(images: Sequence[PurePosixPath], where: str) -> list[Cell]:
    """Label and official split of every image from the folders above it.

    Raises:
        UserError: an image lies in a folder that is neither a class nor a split, or in several
            that contradict each other, or among masks.
    """
    num_wrapping = len(wrapping(images))
    chains = [path.parts[num_wrapping:-1] for path in images]
    if name := doubtful({folder for chain in chains for folder in chain}):
        raise UserError(
            f"{where}: the folder {name!r} may hold segmented neutrophils or masks (segmentations);"
            " rename it to segmented_neutrophil, or take it out."
        )
    cells = []
    for path, chain in zip(images, chains, strict=True):
        label, split = _meaning(path, chain, where)
        cells.append(Cell(path, label, official_split=split))
    if num_validation := sum(any(map(is_validation, chain)) for chain in chains):
        log.info("%s: %d cells of a validation folder count as training", where, num_validation)
    if len({cell.label for cell in cells}) == 1:
        log.warning(
            "%s: all %d cells are taken for %ss, by the folders %s; if one of them means no class,"
            " rename it",
            where,
            len(cells),
            cells[0].label,
            incoming.shorten(
                sorted({name for chain in chains for name in chain if label_of(name)})
            ),
        )
    return cells


def _meaning(path: PurePosixPath, folders: Sequence[str], where: str) -> tuple[str, str]:
    """Label and official split of one image; its `folders`, the outermost first."""
    num_splits = next((n for n, name in enumerate(folders) if not split_of(name)), len(folders))
    below = folders[num_splits:]  # the class folder and what lies in it
    if not below or label_of(below[0]) is None:
        place = f"the folder {below[0]!r}" if below else f"{path} outside a class folder"
        raise UserError(
            f"{where}: found {place}, expected class folders named {', '.join(CLASSES)} (or"
            " usual short forms); rename or remove it, or name the cells in a CSV (`table:`)."
        )
    if mask := next(filter(is_mask, below), None):
        raise UserError(
            f"{where}: the images in {path.parent} would count as cells, but the folder {mask!r}"
            " says that they are masks; take it out, rename it if they are cells, or name cells and"
            " masks in a CSV (`table:`)."
        )
    labels = {label: name for name in below if (label := label_of(name))}
    # of train and test around a class folder, the inner one counts
    splits = {
        split: name for name in folders[max(num_splits - 1, 0) :] if (split := split_of(name))
    }
    for kind, names in (("classes", labels), ("parts of a division", splits)):
        if len(names) > 1:
            found = " and ".join(f"{name!r} ({meaning})" for meaning, name in names.items())
            raise UserError(
                f"{where}: {path.parent} names two {kind}, {found}; move its images to where they"
                " belong, rename the folder that means none, or name the cells in a CSV (`table:`)."
            )
    return next(iter(labels)), next(iter(splits), "")


def with_groups(cells: Sequence[Cell], pattern: str, name: str) -> list[Cell]:
    """The cells with the group that `pattern` finds in their file names, where they have none.

    Raises:
        UserError: the pattern is no regular expression, has no group, or fits no file name.
    """
    if not pattern:
        return list(cells)
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(
            f"source {name}: group_pattern {pattern!r} is no regular expression ({error}); mend it."
        ) from None
    if not expression.groups:
        raise UserError(
            f"source {name}: group_pattern {pattern!r} was expected to hold the smear in"
            " parentheses, such as '^([^_]+)_'; add them."
        )
    found = [expression.search(_composed(incoming.clean_name(cell.path.name))) for cell in cells]
    num_missing = found.count(None)
    if cells and num_missing == len(cells):
        raise UserError(
            f"source {name}: group_pattern {pattern!r} fits no file name, for example not"
            f" {cells[0].path.name!r}; mend it or leave it out."
        )
    if num_missing:
        log.warning("%s: %d file names tell no smear by group_pattern", name, num_missing)
    return [
        Cell(
            cell.path,
            cell.label,
            cell.group or ((match[1] or "") if match else ""),
            cell.official_split,
            cell.mask,
        )
        for cell, match in zip(cells, found, strict=True)
    ]


def _composed(name: str) -> str:
    """In one form for all systems: macOS may write an umlaut as two signs, as `u` and its dots."""
    return unicodedata.normalize("NFC", name)


def _read_table(folder: Path, source: FolderSource) -> pd.DataFrame:
    """The CSV as text columns path, label, group, split and mask; paths relative to `folder`."""
    inside = PurePosixPath(source.table)
    path = folder / inside
    if inside.is_absolute() or ".." in inside.parts or not is_file(path):
        raise UserError(
            f"source {source.name}: table {source.table!r} was expected inside {source.path} but is"
            " not there; give its path relative to that."
        )
    try:
        text = _SEPARATOR_LINE.sub("", path.read_text(encoding="utf-8-sig"), count=1)
        first = text.partition("\n")[0]
        rows = pd.read_csv(
            io.StringIO(text),
            sep=max(",;\t", key=first.count),
            header=None,  # else pandas calls the second of two columns `label` label.1
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        ).map(str.strip)
    except (UnicodeDecodeError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(
            f"{source.table} cannot be read as a CSV in UTF-8: {' '.join(str(error).split())}."
        ) from None
    table = rows[1:].set_axis(rows.iloc[0].str.lower(), axis="columns")
    if not {"path", "label"} <= set(table.columns):
        raise UserError(
            f"{source.table} was expected to have the columns path and label (and perhaps group,"
            f" split, mask), found {', '.join(table.columns)}; rename them."
        )
    table = table.loc[:, table.columns != ""]
    if twice := [name for name, count in Counter(table.columns).items() if count > 1]:
        raise UserError(f"{source.table} has the column {twice[0]} twice; remove one.")
    table = table[(table != "").any(axis="columns")]  # spreadsheets end in rows of commas
    table = table.reindex(columns=["path", "label", "group", "split", "mask"], fill_value="")
    for column in ("path", "mask"):
        table[column] = [
            _composed(str(inside.parent / value.replace("\\", "/"))) if value else ""
            for value in table[column]
        ]
    return table


def cells_of_table(
    table: pd.DataFrame, images: Sequence[PurePosixPath], source: FolderSource
) -> list[Cell]:
    """One cell a row of the table.

    Raises:
        UserError: a row names no image here, an unknown class or split, or a cell twice.
    """
    known = {_composed(str(path)): path for path in images}
    where = source.table
    named = [*table["path"], *filter(None, table["mask"])]
    missing = [path or "no path" for path in named if path not in known]
    if missing:
        raise UserError(
            f"{where} names {len(missing)} images that are not in {source.path}"
            f" ({incoming.shorten(missing)}); paths are relative to the table's folder."
        )
    twice = [path for path, count in Counter(table["path"]).items() if count > 1]
    if twice:
        raise UserError(f"{where} names {incoming.shorten(twice)} twice; keep one row a cell.")
    cells = []
    for row in table.itertuples(index=False):
        label, split = label_of(row.label), split_of(row.split) if row.split else ""
        if label is None or split is None:
            wrong = f"label {row.label!r}" if label is None else f"split {row.split!r}"
            allowed = ", ".join(CLASSES) if label is None else "train, val, test, test_a, test_b"
            raise UserError(f"{where}: {row.path} has {wrong}, expected one of {allowed}; mend it.")
        mask = known[row.mask] if row.mask else None
        cells.append(Cell(known[row.path], label, row.group, split, mask))
    used = set(table["path"]) | set(table["mask"])
    if num_unused := sum(path not in used for path in known):
        log.info("%s: skipped %d images that %s does not name", source.name, num_unused, where)
    return cells
