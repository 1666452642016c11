"""Where MLflow keeps its records: one SQLite database in mlruns/, created once under a lock.

The address comes from DVC_ROOT, which names the user's repository even where a stage runs in a
copy of it (`dvc exp run --temp`, `--queue`); MLFLOW_TRACKING_URI names a team's server instead.
The database, the experiment and the registered model exist before anybody else can create them
in another way: four processes that create the database at once break it for good, and a server
that creates the experiment first puts its artifacts elsewhere.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

EXPERIMENT: Final = "wbc"
MODEL: Final = "wbc-classifier"
_SQLITE: Final = "sqlite:///"
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; MLflow's own 120 s and 7 tries are minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
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
    return Path(named).resolve() if named else Path(__file__).resolve().parents[1]


def uri(repository: Path) -> str:
    """MLFLOW_TRACKING_URI, a relative SQLite path taken from `repository`; else mlruns/mlflow.db.

    A relative path would otherwise name another file in every working directory.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if not named:
        return f"{_SQLITE}{repository / 'mlruns' / 'mlflow.db'}"
    if named.startswith(_SQLITE):
        return f"{_SQLITE}{repository / named.removeprefix(_SQLITE)}"
    return named


def artifact_root(address: str) -> str | None:
    """The folder `artifacts` beside a SQLite database; None where a server decides."""
    if not address.startswith(_SQLITE):
        return None
    return (Path(address.removeprefix(_SQLITE)).parent / "artifacts").as_uri()


def connect(repository: Path | None = None) -> Store:
    """Connect to MLflow; create database, experiment and registered model where they are missing.

    Without `repository` the caller is a stage, whose working directory may be a copy of it.

    Raises:
        Exception: whatever MLflow, the database or the network raise.
    """
    workspace = repository or Path.cwd()
    repository = repository or root()
    prepare_environment()
    address = uri(repository)
    lock_path = repository / "mlruns" / ".lock"
    artifacts = artifact_root(address)
    if address.startswith(_SQLITE):
        lock_path = Path(address.removeprefix(_SQLITE)).parent / ".lock"
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock_path, timeout=120):
        from mlflow import MlflowClient

        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # we warn, once
        client = MlflowClient(tracking_uri=address, registry_uri=address)
        experiment_id = _experiment(client, artifacts)
        _registered_model(client)
    _use_by_default(address)
    return Store(client, experiment_id, lock_path, workspace)


def prepare_environment() -> None:
    """No telemetry, bounded waiting for a server; what the user has set stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _use_by_default(address: str) -> None:
    """Let MLflow's own functions resolve `models:/...` there, but not tell child processes.

    MLflow writes MLFLOW_TRACKING_URI, which means `the user's wish` to everybody else.
    """
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(address)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before


def _experiment(client: Any, artifacts: str | None) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        created = client.create_experiment(EXPERIMENT, artifacts, tags=_EXPERIMENT_TAGS)
        return str(created)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _registered_model(client: Any) -> None:
    if not client.search_registered_models(f"name = '{MODEL}'"):
        client.create_registered_model(
            MODEL,
            description="White blood cells in five classes, from an image of one cell or field."
            " Not a medical device.",
        )
