"""The schema of MLflow's database: a newer MLflow's upgrade is preceded by a copy of the file.

MLflow upgrades without a word, and the older one then refuses the database. So the revision in
the file is compared with the installed MLflow's migrations before MLflow is imported.
"""

import logging
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from wbc.errors import UserError
from wbc.tracking import database as tracking_database
from wbc.tracking.database import SQLITE, backup, backups, reading

log = logging.getLogger(__name__)

_WHY: Final = "before MLflow"
_LINE: Final = re.compile(r"^(down_)?revision(?::[^=]+)? *= *(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Revisions:
    """Every schema that the installed MLflow knows, and the one that it works with."""

    known: frozenset[str]
    heads: frozenset[str]


def revisions(scripts: Path) -> Revisions:
    """Read Alembic's migrations (a `revision` and its `down_revision` each) as text.

    Alembic would import all of them, which every start would wait for.
    """
    known: set[str] = set()
    parents: set[str] = set()
    for script in scripts.glob("*.py"):
        for match in _LINE.finditer(script.read_text(encoding="utf-8")):
            names = re.findall(r"[\"']([0-9a-z]+)[\"']", match[2])
            (parents if match[1] else known).update(names)
    return Revisions(frozenset(known), frozenset(known - parents))


def installed() -> Revisions:
    """Those of the installed MLflow, which is not imported for it."""
    spec = find_spec("mlflow")
    places = spec.submodule_search_locations if spec else None
    if not places:
        return Revisions(frozenset(), frozenset())
    return revisions(Path(places[0]) / "store" / "db_migrations" / "versions")


def create(database: Path) -> None:
    """A new database with all of MLflow's tables, or none.

    MLflow makes them in hundreds of steps, and what a kill leaves of them it can neither use nor
    complete; so they are made beside the file, which then gets its name. The caller holds the
    store's lock.
    """
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import create_engine

    unfinished = database.with_name(f"{database.name}.new")
    for path in database.parent.glob(f"{unfinished.name}*"):  # with its journal
        path.unlink()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    engine = create_engine(f"{SQLITE}{unfinished}")
    try:
        _initialize_tables(engine)
    finally:
        engine.dispose()
    unfinished.replace(database)


def prepare(database: Path, found: str) -> None:
    """Copy and upgrade a database of an older MLflow; `found` is the schema in the file.

    The caller holds the store's lock.

    Raises:
        UserError: a newer MLflow has written the file, or the upgrade failed.
    """
    ours = installed()
    if not found or not ours.known or found in ours.heads:
        return
    if found not in ours.known:
        raise UserError(_too_new(database, ours))
    with reading(database) as connection:
        kept = backup(connection, database, f"{_WHY} {version('mlflow')}")
    log.info(
        "MLflow %s upgrades the database; as it was, it is kept in %s", version("mlflow"), kept
    )
    command = (sys.executable, "-m", "mlflow", "db", "upgrade", f"{SQLITE}{database}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "Error: " in line]
        reason = lines[-1].partition("Error: ")[2] if lines else f"status {done.returncode}"
        raise UserError(
            f"MLflow {version('mlflow')} could not upgrade {database} ({reason}); put the copy back"
            f" with `cp {kept} {database}` and install the MLflow of requirements.txt."
        )


def _too_new(database: Path, ours: Revisions) -> str:
    newer = _newest_writer(database)
    wanted = f"MLflow {newer}" if newer else "the MLflow that did so"
    usable = (path for path in backups(database) if _schema(path) in ours.known)
    copy = next(usable, None)
    back = (
        f"put the copy from before back with `cp {copy} {database}` and run `python -m wbc sync`"
        if copy
        else "move it away and run `python -m wbc sync`, which starts a new one without the aliases"
    )
    return (
        f"{database} was upgraded by a newer MLflow than {version('mlflow')}, which is installed"
        f" here; install {wanted}, or {back}."
    )


def _newest_writer(database: Path) -> str:
    """The newest MLflow that the runs and the copies' names tell of, if newer than this one."""
    with reading(database) as connection:
        rows = connection.execute("SELECT DISTINCT value FROM tags WHERE key = 'version.mlflow'")
        told = [str(row[0]) for row in rows]
    found = re.compile(r"-before-MLflow-(.+)$")
    told += [match[1] for path in backups(database) if (match := found.search(path.stem))]
    newer = [text for text in told if _number(text) > _number(version("mlflow"))]
    return max(newer, key=_number, default="")


def _number(text: str) -> tuple[int, ...]:
    """3.17.2 -> (3, 17, 2)"""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _schema(path: Path) -> str:
    try:
        return tracking_database.look(path, "").schema
    except UserError:  # a damaged copy is no way back
        return ""
