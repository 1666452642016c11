"""Runs whose server went away before they were named after their model.

A note beside the database, or in mlruns/ where a server is used, says which model such a run made,
so that the server gets the rest in the same run when it is back.
"""

from pathlib import Path
from typing import Any

from wbc.tracking.store import Store


def remember(store: Store, sha256: str, run_id: str) -> None:
    """The run made the model with this SHA-256, and MLflow may not know it yet."""
    path = _note(store, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(run_id, encoding="utf-8")


def forget(store: Store, sha256: str) -> None:
    """MLflow knows it now."""
    _note(store, sha256).unlink(missing_ok=True)


def find(store: Store, sha256: str) -> Any | None:
    """The run that is remembered; None where there is none, or another server has it."""
    from mlflow.exceptions import MlflowException

    path = _note(store, sha256)
    if not path.is_file():
        return None
    try:
        run = store.client.get_run(path.read_text(encoding="utf-8").strip())
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def _note(store: Store, sha256: str) -> Path:
    return store.lock_path.parent / "open_runs" / sha256
