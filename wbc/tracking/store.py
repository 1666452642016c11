"""Where MLflow keeps its records: one SQLite database in mlruns/, created once under a lock.

The address comes from DVC_ROOT, which names the user's repository even where a stage runs in a
copy of it (`dvc exp run --temp`, `--queue`); MLFLOW_TRACKING_URI names a team's server instead.
The database, the experiment and the registered model exist before anybody else can create them
in another way: four processes that create the database at once break it for good, and a server
that creates the experiment first puts its artifacts elsewhere.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from wbc.errors import UserError, one_line, without_password
from wbc.tracking import database as tracking_database
from wbc.tracking import move as tracking_move
from wbc.tracking import reach as tracking_reach
from wbc.tracking import schema as tracking_schema
from wbc.tracking.database import SQLITE, file_of

EXPERIMENT: Final = "wbc"
MODEL: Final = "wbc-classifier"
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; MLflow's own 120 s and 7 tries are minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a server may ask for hours
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_EXPERIMENT_TAGS: Final = {  # how the UI shows it: training runs and models, not chats and traces
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "val/macro_f1",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "true",
}


@dataclass(frozen=True)
class Store:
    """A connection: MLflow's client and the experiment that everything goes to."""

    client: Any  # mlflow.MlflowClient
    experiment_id: str
    lock_path: Path
    workspace: Path  # where git and dvc.lock are read: the stage's own directory

    def lock(self) -> FileLock:
        """Held around read-then-write, such as `register unless it is there`."""
        return FileLock(self.lock_path, timeout=120)


def root() -> Path:
    """The repository that mlruns/ belongs to, also from inside a DVC experiment's copy."""
    named = os.environ.get("DVC_ROOT")
    return Path(named).resolve() if named else Path(__file__).resolve().parents[2]


def uri(repository: Path) -> str:
    """MLFLOW_TRACKING_URI, a relative SQLite path taken from `repository`; else mlruns/mlflow.db.

    A relative path would otherwise name another file in every working directory.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if not named:
        return f"{SQLITE}{repository / 'mlruns' / 'mlflow.db'}"
    if named.startswith(SQLITE):
        return f"{SQLITE}{repository / named.removeprefix(SQLITE)}"
    return named


def artifact_root(address: str) -> str | None:
    """The folder `artifacts` beside a SQLite database; None where a server decides."""
    database = file_of(address)
    return (database.parent / tracking_move.ARTIFACTS).as_uri() if database else None


def lock_file(address: str, repository: Path) -> Path:
    """The file that is locked around read-then-write: beside the database, or in mlruns/."""
    database = file_of(address)
    return (database.parent if database else repository / "mlruns") / ".lock"


def connect(repository: Path | None = None) -> Store:
    """Connect to MLflow; create database, experiment and registered model where they are missing.

    Without `repository` the caller is a stage, whose working directory may be a copy of it.

    Raises:
        UserError: the repository was moved, the database is read-only, locked or of a newer MLflow,
            or no server can be used at the address.
        Exception: whatever MLflow, the database or the network raise; `in_one_sentence` says it.
    """
    workspace = repository or Path.cwd()
    repository = repository or root()
    prepare_environment()
    address = uri(repository)
    tracking_reach.check(address)  # before the lock: nobody waits for another one's waiting
    lock_path = lock_file(address, repository)
    with _prepared(address, lock_path):
        from mlflow import MlflowClient

        logging.getLogger("alembic").setLevel(logging.WARNING)
        for name in ("urllib3.connectionpool", "mlflow.store.db.utils"):  # we warn, once
            logging.getLogger(name).setLevel(logging.CRITICAL)
        client = MlflowClient(tracking_uri=address, registry_uri=address)
        experiment_id = _experiment(client, artifact_root(address))
        _registered_model(client)
    _use_by_default(address)
    return Store(client, experiment_id, lock_path, workspace)


@contextlib.contextmanager
def in_one_sentence(repository: Path, command: str) -> Iterator[None]:
    """What MLflow, the database or the network raise, as a sentence; for commands, not stages.

    command: what the user typed after `python -m wbc`.

    Raises:
        UserError: for any exception inside.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"MLflow could not be used ({one_line(error)}); check MLFLOW_TRACKING_URI or start its"
            f" server, then run `python -m wbc {command}` again. It is"
            f" {without_password(uri(repository))} now."
        ) from error


@contextlib.contextmanager
def _prepared(address: str, lock_path: Path) -> Iterator[None]:
    """Hold the lock, over a database that MLflow may open: here, writable, of its schema."""
    database = file_of(address)
    if database:
        tracking_database.check_writable(database)  # first: the lock is a file in its folder
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock_path, timeout=120):
        if database and not (database.is_file() and database.stat().st_size):
            tracking_schema.create(database)
        elif database:
            found = tracking_database.look(database, EXPERIMENT)
            tracking_move.check(database, found.location)
            tracking_schema.prepare(database, found.schema)
        yield


def prepare_environment() -> None:
    """No telemetry, bounded waiting for a server; what the user has set stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def patience(folder: Path) -> Iterator[None]:
    """Let a server take a second more for each MB of the largest file, to store it and say so."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    before = os.environ[name]
    sizes = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
    os.environ[name] = str(int(before) + max(sizes, default=0) // 1_000_000)
    try:
        yield
    finally:
        os.environ[name] = before


def _use_by_default(address: str) -> None:
    """Let MLflow's own functions resolve `models:/...` there, but not tell child processes.

    MLflow writes both addresses into the environment, where they mean the user's wish to everybody
    else. The registry is always the server's or database's own.
    """
    import mlflow

    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: os.environ.get(name) for name in names}
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    for name, text in before.items():
        os.environ.pop(name, None)
        if text is not None:
            os.environ[name] = text


def _experiment(client: Any, artifacts: str | None) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        _create(lambda: client.create_experiment(EXPERIMENT, artifacts, tags=_EXPERIMENT_TAGS))
        experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _registered_model(client: Any) -> None:
    if not client.search_registered_models(f"name = '{MODEL}'"):
        words = (
            "White blood cells in five classes, from an image of one cell or field."
            " Not a medical device."
        )
        _create(lambda: client.create_registered_model(MODEL, description=words))


def _create(create: Callable[[], Any]) -> None:
    """Create what was not there a moment ago; on a shared server another machine may be quicker."""
    from mlflow.exceptions import MlflowException

    try:
        create()
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
