"""Writing one run through MLflow's client; each function may be repeated without doubling.

Only the client with explicit run ids is used, never MLflow's process-wide active run.
"""

import os
import tempfile
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from wbc import processes
from wbc.lineage import state as lineage
from wbc.tracking import overtaken
from wbc.tracking import record as tracking_record
from wbc.tracking.database import file_of
from wbc.tracking.store import Store

# Of the training, to know a run whose process is gone; the UI hides names that begin so.
PROCESS_TAG: Final = "mlflow.wbc.process"
_BATCH: Final = 100  # MLflow's limit for params and tags in one call

Point: TypeAlias = tuple[str, int]  # of a curve: its name and the step


@dataclass(frozen=True)
class Origin:
    """What is known of where outputs come from that somebody else made, or oneself long ago."""

    code: bool  # the working directory's commit, with its uncommitted changes, makes them
    lock: bool  # dvc.lock there tells of them: data, parameters, code by its hashes

    @property
    def note(self) -> str:
        """What a reader of the run must know; "" where nothing is unknown."""
        if self.code:
            return ""
        return (
            "the commit is not known: published later, from a working directory whose code,"
            " parameters or data differ from what made the model"
        )


def create_run(
    store: Store, name: str, live: bool, origin: Origin | None = None, model_sha256: str = ""
) -> str:
    """A new run with the lineage of the working directory, unless `origin` says it is another's.

    live: this process trains the model, so its device and versions belong to the run.
    model_sha256: of a model that there is already, by which the run is found again whatever ends
        this process.
    """
    unknown = lineage.Lineage("", False, b"", "", "", "")
    read = unknown if origin and not origin.code else lineage.read(store.workspace)
    tags = tracking_record.lineage_tags(read)
    tags |= {"git.note": origin.note} if origin and origin.note else {}
    tags |= tracking_record.environment_tags() if live else {}
    tags |= {PROCESS_TAG: processes.own_name()} if live else {}
    tags |= {"model_sha256": model_sha256} if model_sha256 else {}
    tags |= {
        "recorded": "live" if live else "afterwards",
        "mlflow.source.name": os.environ.get("DVC_STAGE", "python -m wbc"),
    }
    run = store.client.create_run(store.experiment_id, tags=tags, run_name=name)
    run_id = str(run.info.run_id)
    if read.patch:
        _log_file(store, run_id, "lineage", "uncommitted.patch", read.patch)
    return run_id


def is_unfinished(store: Store, run_file: Path) -> bool:
    """Whether the run that a training wrote to `run_file` is there and was not ended by it."""
    from mlflow.exceptions import MlflowException

    if not run_file.is_file():
        return False
    try:
        info = store.client.get_run(run_file.read_text(encoding="utf-8").strip()).info
    except MlflowException:  # another server
        return False
    return bool(info.lifecycle_stage == "active" and info.status != "FINISHED")


def reopen_run(store: Store, run_file: Path | None) -> str | None:
    """The run that an interrupted training wrote to `run_file`, running again, or None."""
    from mlflow.exceptions import MlflowException

    if not run_file or not run_file.is_file():
        return None
    run_id = run_file.read_text(encoding="utf-8").strip()
    try:
        store.client.update_run(run_id, status="RUNNING")
        store.client.set_tag(run_id, PROCESS_TAG, processes.own_name())
    except MlflowException:  # another server, or the run was deleted
        return None
    return run_id


def close_dead_runs(store: Store) -> None:
    """End the runs that a killed process of this machine left RUNNING."""
    running = store.client.search_runs(
        [store.experiment_id], "attributes.status = 'RUNNING'", max_results=100
    )
    for run in running:
        if processes.is_dead(run.data.tags.get(PROCESS_TAG, "")):
            store.client.set_terminated(run.info.run_id, "KILLED")


def is_gone(store: Store, process: str) -> bool:
    """Whether the process with this `own_name` is no longer at what it does under the store's lock.

    The caller holds that lock. Beside a local database it keeps out everybody who writes there, a
    container of another name too, so nobody else can be at it. With a server it is this machine's,
    and nothing is known of others.
    """
    return file_of(store.client.tracking_uri) is not None or processes.is_dead(process)


@overtaken.repeated
def log_params(store: Store, run_id: str, parameters: Mapping[str, object]) -> None:
    """Add the parameters that the run does not have yet; MLflow never changes one."""
    from mlflow.entities import Param

    texts = tracking_record.parameter_texts(parameters)
    known = store.client.get_run(run_id).data.params
    params = [Param(name, text) for name, text in texts.items() if name not in known]
    for batch in _batches(params):
        store.client.log_batch(run_id, params=batch)


def log_tags(store: Store, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags; those with an empty value are left out."""
    from mlflow.entities import RunTag

    kept = [RunTag(name, value) for name, value in tags.items() if value]
    for batch in _batches(kept):
        store.client.log_batch(run_id, tags=batch)


def points(store: Store, run_id: str, names: Iterable[str] | None = None) -> set[Point]:
    """Which points the run's curves have; `names`: of these curves only."""
    if names is None:
        names = store.client.get_run(run_id).data.metrics
    return {
        (point.key, point.step)
        for name in sorted(names)
        for point in store.client.get_metric_history(run_id, name)
    }


def log_epoch(
    store: Store, run_id: str, epoch: int, metrics: Mapping[str, float], known: Container[Point]
) -> None:
    """One point of each curve, at step `epoch`; those that are `known` are there already."""
    new = {name: value for name, value in metrics.items() if (name, epoch) not in known}
    store.client.log_batch(run_id, metrics=_metrics(new, epoch))


@overtaken.repeated
def log_history(store: Store, run_id: str, epochs: Mapping[int, Mapping[str, float]]) -> None:
    """Add the points of the curves that the run does not have yet."""
    known = points(store, run_id, {name for metrics in epochs.values() for name in metrics})
    new = [
        point
        for epoch, metrics in epochs.items()
        for point in _metrics(metrics, epoch)
        if (point.key, epoch) not in known
    ]
    for batch in _batches(new):
        store.client.log_batch(run_id, metrics=batch)


@overtaken.repeated
def log_scores(store: Store, run_id: str, scores: Mapping[str, float]) -> None:
    """Set the scores that differ from what the run says."""
    known = store.client.get_run(run_id).data.metrics
    new = {name: value for name, value in scores.items() if known.get(name) != value}
    for batch in _batches(_metrics(new, 0)):
        store.client.log_batch(run_id, metrics=batch)


def log_files(store: Store, run_id: str, model_dir: Path, report_dir: Path) -> None:
    """Report, training history and model card as artifacts."""
    if report_dir.is_dir():
        store.client.log_artifacts(run_id, str(report_dir), "report")
    for name in ("history.csv", "model.json"):
        if (model_dir / name).is_file():
            store.client.log_artifact(run_id, str(model_dir / name), "training")


def log_dvc_lock(store: Store, run_id: str) -> None:
    """dvc.lock as an artifact: the hashes of all data, parameters and code."""
    if (store.workspace / "dvc.lock").is_file():
        store.client.log_artifact(run_id, str(store.workspace / "dvc.lock"), "lineage")


def log_shared_files(store: Store, run_id: str) -> None:
    """What is not one model's: the comparison and the data's quality, where they have been made."""
    for folder, name in (("comparison", "comparison"), ("quality", "data_quality")):
        if (store.workspace / folder).is_dir():
            store.client.log_artifacts(run_id, str(store.workspace / folder), name)


def _metrics(metrics: Mapping[str, float], step: int) -> list[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, value, now, step) for name, value in metrics.items()]


def _log_file(store: Store, run_id: str, folder: str, name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        path.write_bytes(content)
        store.client.log_artifact(run_id, str(path), folder)


def _batches(items: Sequence[Any]) -> Iterable[list[Any]]:
    return (list(items[start : start + _BATCH]) for start in range(0, len(items), _BATCH))
