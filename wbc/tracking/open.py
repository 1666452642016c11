"""Runs whose server went away before they were named after their model.

A note beside the database, or in mlruns/ where a server is used, says which model such a run made,
so that the server gets the rest in the same run when it is back.
"""

import contextlib
from pathlib import Path
from typing import Any, Final

from wbc.disk import write_whole
from wbc.tracking.store import Store

# What MLflow says of a run that it does not have, and of a text that is no run's id.
_UNKNOWN: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})


def remember(store: Store, sha256: str, run_id: str) -> None:
    """The run made the model with this SHA-256, and MLflow may not know it yet."""
    path = _note(store, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, run_id.encode())


def forget(store: Store, sha256: str) -> None:
    """MLflow knows it now; half a note that a kill left goes too."""
    for path in _note(store, sha256).parent.glob(f"{sha256}*"):
        path.unlink(missing_ok=True)


def find(store: Store, sha256: str) -> Any | None:
    """The run that is remembered; None where there is none, another server has it, or the note is
    empty or cannot be read."""
    from mlflow.exceptions import MlflowException

    run_id = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        run_id = _note(store, sha256).read_text(encoding="utf-8").strip()
    if not run_id:
        return None
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in _UNKNOWN:
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def _note(store: Store, sha256: str) -> Path:
    return store.lock_path.parent / "open_runs" / sha256
