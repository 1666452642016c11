"""wbc.tracking.database: the file itself, also as a kill left it."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

from wbc.tracking import database as tracking_database


def killed_in_a_commit(folder: Path) -> Path:
    """A database half of whose commit is written, with the journal that undoes it."""
    whole, left = folder / "whole.db", folder / "left.db"
    with contextlib.closing(sqlite3.connect(whole, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE experiments (name TEXT, artifact_location TEXT)")
        names = ["wbc", *(f"{number:0500}" for number in range(500))]
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO experiments VALUES (?, 'before')", [(name,) for name in names]
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA cache_size = 1")  # what is changed goes to the file at once
        connection.execute("BEGIN")
        connection.execute("UPDATE experiments SET artifact_location = 'changed'")
        shutil.copy(whole, left)
        shutil.copy(f"{whole}-journal", f"{left}-journal")
    return left


def test_a_commit_that_a_kill_broke_off_is_undone(tmp_path: Path) -> None:
    left = killed_in_a_commit(tmp_path)
    assert b"changed" in left.read_bytes()
    assert tracking_database.look(left, "wbc").location == "before"
    assert not left.with_name("left.db-journal").exists() and b"changed" not in left.read_bytes()
