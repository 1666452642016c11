"""A repository that was moved or copied: noticed at every start, repaired by `relocate`.

MLflow stores where files lie as absolute paths. After a move it finds none of them, and a new run
would quietly make the old folder again; in a copy it would write into the original. The folder
that the experiment records is therefore compared with the one that the database lies in.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from wbc.errors import UserError
from wbc.tracking.database import backup, check_writable, reading, unusable

ARTIFACTS: Final = "artifacts"  # the folder beside the database
# Every column in which MLflow 3.17 keeps an absolute path. `source` and `value` hold one only where
# a person registered a folder or traced something; this project's own are models:/ID.
_COLUMNS: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
    ("trace_tags", "value"),
    ("workspaces", "default_artifact_root"),
    ("workspaces", "trace_archival_location"),
)
_SECONDS: Final = 5  # to wait for a process that is just writing


class MovedError(UserError):
    """MLflow's files lie elsewhere than its database says; nothing must be written."""


@dataclass(frozen=True)
class Row:
    """A path in the database that has to change."""

    table: str
    column: str
    rowid: int
    home: Path  # the old one, of those that `old` could lie in
    old: Path
    new: Path
    text: str  # `new` as MLflow writes it: a URI where it was one


@dataclass(frozen=True)
class Brought:
    """What `relocate` did."""

    old_homes: tuple[Path, ...]
    num_rows: int
    num_folders: int  # written into an old home after the move, and copied from there
    missing: tuple[Path, ...]  # of models, in neither place
    kept: Path  # the copy of the database


def check(database: Path, location: str) -> None:
    """Notice that the repository was moved or copied; `location` is the experiment's.

    Raises:
        MovedError: with the command that repairs it.
    """
    recorded, here = path_of(location), database.parent / ARTIFACTS
    if recorded is None or recorded == here or _same(recorded.parent, here.parent):
        return
    if _chosen(recorded, here):
        return
    raise MovedError(
        f"This repository was moved or copied: MLflow's database here ({database}) names"
        f" {recorded} as the place of its files; type `python -m wbc relocate`, which corrects"
        " that and keeps a copy of the database."
    )


def path_of(location: str) -> Path | None:
    """The path in a `file:` URI or an absolute path; None for s3:, models:, relative ones, …"""
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    return Path(location) if location.startswith("/") else None


def relocate(database: Path) -> Brought | None:
    """Write the paths anew that name another home than the database's; None if there are none.

    The caller holds the store's lock. A home is the folder of a database: its `artifacts` holds
    ID/artifacts of each run and models/ID/artifacts of each model. Every home that the project's
    own runs and models name and that is not this one is an old one, so several moves in a row, or
    one that was half repaired, come right together. Files that a run wrote into an old home after
    the move are copied from there; nothing is removed there.

    Raises:
        UserError: the database cannot be written or is in use, or the files were left behind.
    """
    check_writable(database)
    try:
        with _alone(database) as connection:
            return _relocate(connection, database)
    except sqlite3.Error as error:
        raise UserError(unusable(database, error)) from None


def _relocate(connection: sqlite3.Connection, database: Path) -> Brought | None:
    homes = _old_homes(connection, database.parent)
    rows = list(_rows(connection, homes, database.parent))
    if not rows:
        return None
    folders = [row for row in rows if row.table in ("runs", "logged_models")]
    models = [row for row in folders if row.table == "logged_models"]
    lost = [row.new for row in models if not (_exists(row.new) or _exists(row.old))]
    if models and len(lost) == len(models):
        raise UserError(
            f"The files of the {len(models)} models that {database} names lie neither in"
            f" {database.parent / ARTIFACTS} nor in {homes[0] / ARTIFACTS}; put that folder beside"
            " the database and type the same again."
        )
    with reading(database) as reader:  # SQLite cannot copy through a connection that writes
        kept = backup(reader, database, "before relocate")
    num_brought = sum(_bring(row, database.name) for row in folders)
    for row in rows:
        change = f"UPDATE {row.table} SET {row.column} = ? WHERE rowid = ?"
        connection.execute(change, (row.text, row.rowid))
    return Brought(tuple(homes), len(rows), num_brought, tuple(lost), kept)


@contextmanager
def _alone(database: Path) -> Iterator[sqlite3.Connection]:
    """A transaction in which nobody else writes; undone by an exception."""
    with closing(sqlite3.connect(database, timeout=_SECONDS, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _old_homes(connection: sqlite3.Connection, here: Path) -> list[Path]:
    """The folders of other databases that the project's experiment, runs and models name."""
    ours = "experiment_id IN (SELECT experiment_id FROM experiments WHERE name = 'wbc')"
    queries = (
        f"SELECT artifact_location, '' FROM experiments WHERE {ours}",
        f"SELECT artifact_uri, run_uuid || '/artifacts' FROM runs WHERE {ours}",
        "SELECT artifact_location, 'models/' || model_id || '/artifacts' FROM logged_models"
        f" WHERE {ours}",
    )
    homes: dict[Path, None] = {}
    for query in queries:
        for location, tail in connection.execute(query):
            path, ending = path_of(location or ""), Path(ARTIFACTS) / tail
            if path and path.parts[-len(ending.parts) :] == ending.parts:
                homes[path.parents[len(ending.parts) - 1]] = None
    return [
        home
        for home in homes
        if home != here
        and not _same(home, here)
        and not _chosen(home / ARTIFACTS, here / ARTIFACTS)
    ]


def _rows(connection: sqlite3.Connection, homes: list[Path], here: Path) -> Iterator[Row]:
    for table, column in _COLUMNS:
        if column not in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
            continue  # of another version of MLflow
        for rowid, text in connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
            old = path_of(text or "")
            home = next((home for home in homes if old and old.is_relative_to(home)), None)
            if old and home:
                new = here / old.relative_to(home)
                written = new.as_uri() if text.startswith("file:") else str(new)
                yield Row(table, column, rowid, home, old, new, written)


def _bring(row: Row, database: str) -> bool:
    """Copy what was written into an old home after the move.

    Where the original still stands (a database beside the files), its files are its own, and only
    what this repository lacks altogether is copied. A folder that is there counts as whole, so a
    new one gets its name when all of it has been copied.
    """
    original = _exists(row.home / database)
    if not _exists(row.old) or (original and _exists(row.new)):
        return False
    if _exists(row.new):
        shutil.copytree(row.old, row.new, dirs_exist_ok=True)
        return True
    part = row.new.with_name(f"{row.new.name}.part")
    shutil.copytree(row.old, part, dirs_exist_ok=True)
    part.rename(row.new)
    return True


def _chosen(recorded: Path, here: Path) -> bool:
    """Whether a person put the files elsewhere on purpose: they are there, alone, and not here."""
    return _exists(recorded) and not _exists(here) and not _exists(recorded.parent / "mlflow.db")


def _same(one: Path, other: Path) -> bool:
    """One folder under two names, such as a link left behind at the old place."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _exists(path: Path) -> bool:
    return os.access(path, os.F_OK)  # False also for what another user hides
