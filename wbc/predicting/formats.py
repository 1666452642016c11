"""Rows as CSV, JSON lines or Parquet. The first two grow line by line; Parquet is made at the end.

Names and reasons in CSV are such that no spreadsheet runs them (wbc.spreadsheets).
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from wbc.errors import UserError
from wbc.metrics import NUM_DECIMALS
from wbc.predicting.rows import FLAGS, PLACE, Row, columns
from wbc.spreadsheets import safe_text

SUFFIXES: Final = (".csv", ".jsonl", ".parquet")
ROW_GROUP: Final = 50_000  # rows of a Parquet file in memory at a time


def suffix_of(out: Path) -> str:
    """Raises UserError for a format that there is not."""
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            f"--out should end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, which says the"
            f" format, but is {out}."
        )
    return suffix


def header(suffix: str, classes: Sequence[str], fields: bool = False) -> bytes:
    return (",".join(columns(classes, fields)) + "\n").encode() if suffix == ".csv" else b""


def encoded(suffix: str, rows: Iterable[Row]) -> bytes:
    """Lines of CSV, else JSON lines: Parquet is made from them."""
    line = _csv_line if suffix == ".csv" else _json_line
    return "".join(map(line, rows)).encode()


def _csv_line(row: Row) -> str:
    """Names and reasons always in quotes: else a `;` in a name ends it where that separates."""
    return ",".join(_csv_cell(name, value) for name, value in row.items()) + "\n"


def _csv_cell(name: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, float):
        return f"{value:.{NUM_DECIMALS}f}"
    if name in ("path", "error"):
        return '"' + safe_text(value).replace('"', '""') + '"'
    return str(value)


def _json_line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def write_parquet(lines: Path, target: Path, classes: Sequence[str], fields: bool = False) -> None:
    """A Parquet file of JSON lines, so many rows at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, _type(name)) for name in columns(classes, fields)])
    with parquet.ParquetWriter(target, schema) as writer:
        for rows in _blocks(lines):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    with target.open("rb") as file:
        os.fsync(file.fileno())  # before it takes the place of another


def _type(name: str) -> Any:
    import pyarrow as pa

    if name in FLAGS or name == "cut":
        return pa.bool_()
    if name in PLACE:
        return pa.int32()
    return pa.string() if name in ("path", "class", "error") else pa.float64()


def _blocks(lines: Path) -> Iterator[list[Row]]:
    rows: list[Row] = []
    with lines.open("rb") as file:
        for line in file:
            rows.append(json.loads(line))
            if len(rows) == ROW_GROUP:
                yield rows
                rows = []
    if rows:
        yield rows
