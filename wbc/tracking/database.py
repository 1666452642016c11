"""The SQLite file itself, looked at before MLflow opens it, and copies of it.

Nothing here imports MLflow: a look costs a millisecond at every start.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from wbc.errors import UserError, one_line

SQLITE: Final = "sqlite:///"
BACKUPS: Final = "backups"  # the folder beside the database
_SECONDS: Final = 20  # to wait for another process that holds the file, as MLflow does


@dataclass(frozen=True)
class Look:
    """What a database says of itself; empty where it does not say it yet."""

    schema: str  # the revision of MLflow's schema
    location: str  # where the experiment's files lie, as MLflow wrote it: a URI or a path


def file_of(address: str) -> Path | None:
    """The file of a `sqlite:///` address; None for a server's."""
    return Path(address.removeprefix(SQLITE)) if address.startswith(SQLITE) else None


def look(database: Path, experiment: str) -> Look:
    """Read schema and location without opening the file for writing.

    Raises:
        UserError: the file is damaged, locked, of another program or must not be written.
    """
    check_writable(database)
    wanted = "SELECT artifact_location FROM experiments WHERE name = ?"
    with reading(database) as connection:
        _refuse_foreign(connection, database)
        schema = _one(connection, "alembic_version", "SELECT version_num FROM alembic_version")
        return Look(schema, _one(connection, "experiments", wanted, experiment))


def check_writable(database: Path) -> None:
    """Refuse a file or folder that must not be written, which MLflow would tell in a traceback.

    Raises:
        UserError: with the path in it.
    """
    for path in (database, database.parent):
        if path.exists() and not os.access(path, os.W_OK):
            raise UserError(
                f"MLflow's database should be writable, but {path} is read-only; make it writable"
                " (chmod u+w, or another disk) and type the same again."
            )


@contextlib.contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write.

    Raises:
        UserError: whatever SQLite says of the file.
    """
    try:
        _roll_back(database)
        with contextlib.closing(_connection(database, "ro")) as connection:
            yield connection
    except sqlite3.Error as error:
        raise UserError(unusable(database, error)) from None


def _roll_back(database: Path) -> None:
    """Undo the commit over which a process was killed: only a connection that may write does it,
    by its first look. The journal of a living process is left alone by SQLite."""
    if database.with_name(f"{database.name}-journal").exists():
        with contextlib.closing(_connection(database, "rw")) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()


def _connection(database: Path, mode: str) -> sqlite3.Connection:
    address = f"{database.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=_SECONDS)


def unusable(database: Path, error: sqlite3.Error) -> str:
    """What to do about a file that SQLite cannot use."""
    if "locked" in str(error):
        return (
            f"{database} is in use by another process; wait for it, or end `make ui` and whatever"
            " else has it open, and type the same again."
        )
    return (
        f"{database} cannot be used as MLflow's database ({one_line(error)}); put a copy from"
        f" {database.parent / BACKUPS} in its place, or move it away and run `python -m wbc sync`."
    )


def backup(connection: sqlite3.Connection, database: Path, why: str) -> Path:
    """Copy the database to backups/mlflow-WHEN-WHY.db beside it, whole also while it is in use.

    why: a few words, such as `before relocate`.
    """
    words = re.sub(r"[^\w.]+", "-", why)
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    target = database.parent / BACKUPS / f"mlflow-{moment}-{words}.db"
    target.parent.mkdir(exist_ok=True)
    unfinished = target.with_suffix(".part")
    with contextlib.closing(sqlite3.connect(unfinished)) as copy:
        connection.backup(copy)
    unfinished.replace(target)
    return target


def backups(database: Path) -> list[Path]:
    """The copies beside the database, newest first."""
    return sorted((database.parent / BACKUPS).glob("mlflow-*.db"), reverse=True)


def _refuse_foreign(connection: sqlite3.Connection, database: Path) -> None:
    """Refuse tables of another program, among which MLflow would put its own without a word."""
    listed = (
        "SELECT name FROM sqlite_master"
        " WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    tables = sorted(str(row[0]) for row in connection.execute(listed))
    if tables and "experiments" not in tables:  # the first that MLflow makes
        more = f" and {len(tables) - 3} more" if len(tables) > 3 else ""
        raise UserError(
            f"{database} should be MLflow's database, but has other tables"
            f" ({', '.join(tables[:3])}{more}); move it away and type the same again."
        )


def _one(connection: sqlite3.Connection, table: str, query: str, *values: str) -> str:
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if not connection.execute(known, (table,)).fetchone():
        return ""
    row = connection.execute(query, values).fetchone()
    return str(row[0] or "") if row else ""
