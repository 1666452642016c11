"""Where cells come from: one module a kind of source, and what is common to all of them."""

import hashlib
import logging
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import joblib
import pandas as pd
from tqdm import tqdm

from wbc.cells import CLASSES, COLUMNS
from wbc.decoding import header_size
from wbc.errors import UserError
from wbc.params import FolderSource, KrdWbcSource, RaabinSource, SampleSource, Source
from wbc.sources import folder, krd_wbc, raabin, sample
from wbc.sources.incoming import shorten
from wbc.spreadsheets import safe_text

log = logging.getLogger(__name__)


def collect(sources: Sequence[Source], target: Path, root: Path) -> pd.DataFrame:
    """Bring every source's images below `target`/NAME and return the table of all cells.

    Args:
        root: the repository, which the sources' paths are relative to.

    Returns:
        One row a cell in the columns wbc.cells.COLUMNS, sorted by path.

    Raises:
        UserError: a source cannot be had, or gives no cell.
    """
    table = pd.concat([_complete(source, target, root) for source in sources])
    assert table["path"].is_unique, "a source gave one path twice"
    return table.sort_values("path", ignore_index=True)[list(COLUMNS)]


def fetch(source: Source, target: Path, root: Path) -> pd.DataFrame:
    """Bring one source's images below `target`; rows of path, label, group, official_split, mask.

    `path` and `mask` are relative to `target`.
    """
    match source:
        case SampleSource():
            return sample.fetch(source, target, root)
        case RaabinSource():
            return raabin.fetch(source, target, root)
        case KrdWbcSource():
            return krd_wbc.fetch(source, target, root)
        case FolderSource():
            return folder.fetch(source, target, root)


def _complete(source: Source, target: Path, root: Path) -> pd.DataFrame:
    """The rows of one source with all columns; paths relative to `target`."""
    log.info("source %s (%s)", source.name, source.kind)
    table = fetch(source, target / source.name, root)
    if table.empty:
        path = getattr(source, "path", "")
        raise UserError(
            f"source {source.name}: {path} was expected to hold images in class folders but gave no"
            " cell; bring yours there with `dvc import-url /your/path"
            f" data/incoming/{source.name}` and set `path: data/incoming/{source.name}`."
        )
    for column in ("path", "mask"):
        table[column] = [f"{source.name}/{path}" if path else "" for path in table[column]]
    # Smears may be called anything, and their names go into every table from here on. An umlaut is
    # one sign or, from macOS, two: the smear is the same.
    groups = [
        safe_text(unicodedata.normalize("NFC", " ".join(group.split()))) for group in table["group"]
    ]
    _warn_of_variants(source.name, groups)
    table = table.assign(group=groups, source=source.name, role=source.role)
    table[["sha256", "width", "height"]] = _measure(list(table["path"]), target, source.name)
    counts = table["label"].value_counts()
    log.info(
        "source %s: %d cells (%s), %d smears known",
        source.name,
        len(table),
        ", ".join(f"{label} {counts.get(label, 0)}" for label in CLASSES),
        len(set(table["group"]) - {""}),
    )
    return table


def _measure(paths: Sequence[str], folder: Path, name: str) -> list[tuple[str, int, int]]:
    """SHA-256, width and height of every file."""

    def one(path: str) -> tuple[str, int, int]:
        data = (folder / path).read_bytes()
        return hashlib.sha256(data).hexdigest(), *header_size(data)

    jobs = joblib.Parallel(
        n_jobs=min(8, os.cpu_count() or 1), prefer="threads", return_as="generator"
    )(joblib.delayed(one)(path) for path in paths)
    bar = tqdm(jobs, total=len(paths), desc=f"checking {name}", unit=" cells", disable=None)
    return list(bar)


def _warn_of_variants(source: str, groups: Sequence[str]) -> None:
    """Of smears whose names differ in case only: as two, they may lie in training and test."""
    names: dict[str, set[str]] = {}
    for group in groups:
        names.setdefault(group.casefold(), set()).add(group)
    if alike := [name for found in names.values() if len(found) > 1 for name in sorted(found)]:
        log.warning(
            "source %s: %s count as different smears, though only upper and lower case tells them"
            " apart; if they are one, write its name in one way, else training and test share it",
            source,
            shorten(alike),
        )
