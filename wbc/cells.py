"""The words that every part shares: the five cell types, and the tables that name cells.

A cell is one image file. `metadata.csv` (written by download) has one row a cell in the columns
COLUMNS; `split.csv` (written by split) has the same rows with `split` and `reason` added.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pandas as pd

from wbc.errors import not_as_written, not_there, one_line

CLASSICAL: Final = "classical"  # among architectures: hand-made features and no network
CLASSES: Final = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil")

COLUMNS: Final = (
    "path",  # relative to the folder of the table, with forward slashes
    "label",  # one of CLASSES
    "group",  # the smear (or patient, or slide) that the cell comes from; "" where unknown
    "source",  # name of the entry in data.sources
    "role",  # auto | train | external, from data.sources
    "official_split",  # train | test | test_a | test_b as published; "" where there is none
    "sha256",  # of the file's bytes, hexadecimal
    "width",  # pixels as stored in the file's header; 0 where the header cannot be read
    "height",
    "mask",  # path of the cell's mask, relative like `path`; "" where there is none
)

# A source, set or smear may be called 007.
_TEXT: Final = {*COLUMNS, "split", "set"} - {"width", "height"}


def read_table(path: Path, columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read one of the project's CSV tables; empty fields are empty strings, never NaN.

    columns: those that the caller cannot do without.

    Raises:
        UserError: it is not there, is no CSV in UTF-8, is cut off, or lacks one of them.
    """
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype=dict.fromkeys(_TEXT, str))
    except FileNotFoundError:
        raise not_there(path) from None
    except ValueError as error:  # of pandas' parser, or of what is no UTF-8
        raise not_as_written(path, f"cannot be read ({one_line(error, 120)})") from None
    refuse_cut(path)
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise not_as_written(path, f"has no column {lacking[0]}")
    return table


def refuse_cut(path: Path) -> None:
    """Raises UserError where a table's last line has no end: it was cut off."""
    with path.open("rb") as file:
        if path.stat().st_size:
            file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            raise not_as_written(path, "is cut off: its last line has no end")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV whose bytes depend on the table only (row order is the caller's)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, lineterminator="\n")
