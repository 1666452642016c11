"""What a workspace holds: its files by their bytes, MLflow by its meaning, and what is wrong."""

import contextlib
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wbc.tracking.plan import HALF_COPIED  # neither listed nor fetched by MLflow

PASSED_OVER = (".git", "__pycache__", "mlruns", "tmp", "cache", ".venv", "dvc.lock.damaged")
TWO_RUNS = "run of model"
DIFFERS = ("mlflow.", "promotion.when", "git.", "wbc.process")  # from run to run


def files(workspace: Path) -> dict[str, str]:
    """{path: SHA-256} of all files, also those that ought not to be there, but DVC's own."""
    found = {}
    for path in sorted(workspace.rglob("*")):
        parts = path.relative_to(workspace).parts
        if path.is_file() and not set(parts) & set(PASSED_OVER) and not parts[-1].endswith(".lock"):
            found["/".join(parts)] = hashlib.sha256(path.read_bytes()).hexdigest()
    found["dvc.lock"] = hashlib.sha256((workspace / "dvc.lock").read_bytes()).hexdigest()
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """A sentence for each file that is missing, new or other."""
    missing = [f"{path} is missing" for path in expected if path not in found]
    new = [f"{path} was left over" for path in found if path not in expected]
    other = [
        f"{path} has other bytes" for path in expected if found.get(path, "") != expected[path]
    ]
    return missing + new + [one for one in other if one.split(" has ")[0] in found]


def problems(workspace: Path) -> list[str]:
    """What no MLflow database may look like once a command has ended well."""
    database = workspace / "mlruns" / "mlflow.db"
    if not database.is_file():
        return []
    try:
        return _problems(workspace, database)
    except sqlite3.Error as error:
        return [f"the database: {error}"]


def _problems(workspace: Path, database: Path) -> list[str]:
    with _rows(database) as rows:
        said = [f"the database: {row[0]}" for row in rows("PRAGMA integrity_check")]
        wrong = [] if said == ["the database: ok"] else said
        running = rows("SELECT run_uuid FROM runs WHERE status = 'RUNNING'")
        wrong += [f"run {row[0]} is RUNNING" for row in running]
        wrong += _doubles(rows, TWO_RUNS, _RUNS)
        wrong += _doubles(rows, "version of model", _VERSIONS)
        wrong += _doubles(rows, "point of a curve", _POINTS)
        unnamed = rows(_UNNAMED)
        wrong += [f"run {row[0]} belongs to no model and is not KILLED" for row in unnamed]
        open_models = rows("SELECT model_id FROM logged_models WHERE model_id NOT IN (SELECT "
                           "replace(source, 'models:/', '') FROM model_versions) AND "
                           "lifecycle_stage = 'active'")  # fmt: skip
        wrong += [f"logged model {row[0]} has no version" for row in open_models]
    notes = workspace / "mlruns" / "open_runs"
    if notes.is_dir():
        wrong += [f"the note open_runs/{path.name} was left" for path in notes.iterdir()]
    return wrong


_RUNS = (
    "SELECT t.value FROM tags t JOIN runs r USING (run_uuid)"
    " WHERE t.key = 'model_sha256' AND r.lifecycle_stage = 'active'"
)
_VERSIONS = "SELECT value FROM model_version_tags WHERE key = 'model_sha256'"
_POINTS = "SELECT run_uuid || ' ' || key || ' ' || step FROM metrics WHERE key NOT LIKE 'cost/%'"
_UNNAMED = (
    "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND status <> 'KILLED' AND run_uuid"
    " NOT IN (SELECT run_uuid FROM tags WHERE key = 'model_sha256')"
)


def meaning(workspace: Path) -> dict[str, Any]:
    """MLflow's content without what differs from run to run: ids, times, the process, git's state.

    Runs that were killed before they had a model are left out.
    """
    database = workspace / "mlruns" / "mlflow.db"
    if not database.is_file():
        return {}
    with _rows(database) as rows:
        runs = {}
        named = "SELECT run_uuid, name, status FROM runs WHERE lifecycle_stage = 'active'"
        for run, name, status in rows(named):
            tags = _pairs(rows("SELECT key, value FROM tags WHERE run_uuid = ?", run))
            if status == "KILLED" and "model_sha256" not in tags:
                continue
            points = rows("SELECT key, step, value FROM metrics WHERE run_uuid = ?", run)
            folder = workspace / "mlruns" / "artifacts" / run / "artifacts"
            runs[name] = {
                "status": status,
                "tags": tags,
                "params": _pairs(rows("SELECT key, value FROM params WHERE run_uuid = ?", run)),
                "metrics": sorted(map(repr, (p for p in points if not p[0].startswith("cost/")))),
                "files": _names(folder),
                "data": sorted(map(repr, rows(_DATA, run))),
            }
        versions = {
            number: {
                "tags": _pairs(rows("SELECT key, value FROM model_version_tags WHERE version = ?",
                                    number)),
                "files": _names(workspace / "mlruns" / "artifacts" / "models"
                                / source.removeprefix("models:/") / "artifacts"),
            }
            for number, source in rows("SELECT version, source FROM model_versions")
        }  # fmt: skip
        aliases = dict(rows("SELECT alias, version FROM registered_model_aliases"))
        events = rows("SELECT key, value FROM registered_model_tags WHERE key LIKE 'event/%'")
        trail = [[json.loads(v)[n] for n in ("event", "version", "replaces")] for _, v in
                 sorted(events)]  # fmt: skip
        return {"runs": runs, "versions": versions, "aliases": aliases, "trail": trail}


_DATA = (
    "SELECT d.name, d.digest FROM inputs i JOIN datasets d ON i.source_id = d.dataset_uuid"
    " WHERE i.destination_id = ?"
)


def unlike(expected: Any, found: Any, where: str = "MLflow") -> list[str]:
    """Where two meanings differ, from the top down."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted(set(expected) | set(found), key=str)
        pairs = [(expected.get(key), found.get(key), f"{where}/{key}") for key in keys]
        return [line for pair in pairs for line in unlike(*pair)]
    return [] if expected == found else [f"{where} is {found!r:.300}, not {expected!r:.300}"]


def _doubles(rows: Any, what: str, query: str) -> list[str]:
    counts = Counter(str(row[0]) for row in rows(query))
    return [f"{number} times the {what} {key[:60]}" for key, number in counts.items() if number > 1]


def _pairs(rows: list[tuple[Any, ...]]) -> dict[str, str]:
    return {
        key: value for key, value in rows
        if not any(word in key for word in DIFFERS) and key not in ("recorded", "device")
    }  # fmt: skip


def _names(folder: Path) -> dict[str, str]:
    """{path: SHA-256}; without bytes where MLflow writes ids and times into the file."""
    free = ("MLmodel", "registered_model_meta", "wbc_model.json")
    return {
        path.relative_to(folder).as_posix(): ""
        if path.name in free
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(HALF_COPIED)
    }


@contextlib.contextmanager
def _rows(database: Path) -> Iterator[Any]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        yield lambda query, *values: connection.execute(query, values).fetchall()
