"""MLflow's view of a model: one run for its training and its evaluation.

The outputs of the stages are the truth; MLflow gets the same content, live and best effort. If it
is away, everything goes on, one warning says so, and `python -m wbc sync` publishes later: all
that a run needs is in models/ and reports/. A model and its run find each other by the tag
model_sha256 (wbc.model), never by a run id, which would make outputs differ from run to run.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wbc import lineage, processes, tracking_log, tracking_record, tracking_store
from wbc.errors import UserError, one_line
from wbc.params import flatten_values
from wbc.registry import versions
from wbc.tracking_record import identity
from wbc.tracking_server import ui
from wbc.tracking_store import Store

__all__ = ["TrainingRun", "publish", "publish_comparison", "sync", "training_run", "ui"]

_log = logging.getLogger(__name__)


class TrainingRun:
    """The run of a training that is under way. No method raises because of MLflow."""

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture
        self._store: Store | None = None
        self._run_id = ""
        self._live = False  # curves are written; stops at the first failure, sync fills the gap

    def start(self, parameters: Mapping[str, object], device: str, run_file: Path | None) -> None:
        """Create the run, or reopen the one that `run_file` names; only in the first process."""
        if os.environ.get("RANK", "0") != "0" or os.environ.get("LOCAL_RANK", "0") != "0":
            return
        with self._best_effort():
            store = tracking_store.connect()
            tracking_log.close_dead_runs(store)
            self._run_id = tracking_log.reopen_run(store, run_file) or tracking_log.create_run(
                store, self._architecture, live=True
            )
            self._store, self._live = store, True
            if run_file:
                run_file.write_text(self._run_id, encoding="utf-8")
            tags = {"architecture": self._architecture, "device": device}
            tracking_log.log_tags(store, self._run_id, tags)
            tracking_log.log_params(store, self._run_id, parameters)

    def log_epoch(self, epoch: int, metrics: Mapping[str, object]) -> None:
        """Add one epoch to the curves; words, NaN and infinity are left out."""
        if self._store and self._live:
            with self._best_effort():
                kept = tracking_record.epoch_metrics(metrics)
                tracking_log.log_epoch(self._store, self._run_id, epoch, kept)

    def finish(self, model_dir: Path) -> None:
        """Name the run after the model that it made."""
        if self._store:
            with self._best_effort():
                _name_after_model(self._store, self._run_id, model_dir)

    def end(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        if self._store:
            with self._best_effort():
                self._store.client.set_terminated(self._run_id, status)

    @contextlib.contextmanager
    def _best_effort(self) -> Iterator[None]:
        warned = bool(self._store) and not self._live
        try:
            yield
        except Exception as error:
            self._live = False
            if not warned:
                _warn(error)


@contextlib.contextmanager
def training_run(
    architecture: str, parameters: Mapping[str, object], device: str, run_file: Path | None = None
) -> Iterator[TrainingRun]:
    """A run from the start of training to its end; `device` says what is trained on.

    `run_file` keeps the run's id beside the checkpoints, so that a training that is continued goes
    on in the run that it began.

    An exception leaves it FAILED; Ctrl-C, SIGTERM and sys.exit leave it KILLED. (SIGKILL leaves
    it RUNNING: nobody is left to say otherwise.)
    """
    run = TrainingRun(architecture)
    with processes.signals_raise():
        run.start(parameters, device, run_file)
        try:
            yield run
        except BaseException as error:
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        run.end("FINISHED")


def publish(architecture: str, model_dir: Path, report_dir: Path, registered: bool = True) -> None:
    """Complete the run of a trained and evaluated model and register the model; best effort.

    Models of other seeds than the first (`registered=False`) have runs and no version: they show
    how much is luck, and the luckiest is not to be chosen.

    The run is the newest one of this model, or a new one written from the outputs alone (a
    restored run cache, a fresh clone). Publishing twice is the same as publishing once.
    """
    try:
        name = _publish(tracking_store.connect(), model_dir, report_dir, registered)
        _log.info("%s: MLflow run %s", architecture, name)
    except Exception as error:
        _warn(error)


def publish_comparison(speeds: Mapping[Path, Mapping[str, float]]) -> None:
    """Add the comparison, the data's quality and each model's own times to the models' runs; best
    effort.

    Args:
        speeds: {model's folder: {name: number}}, which become the metrics cost/NAME. They differ
            from run to run and belong to no output, so `sync` cannot bring them.
    """
    try:
        store = tracking_store.connect()
        for model_dir, numbers in speeds.items():
            run = _find_run(store, identity(model_dir))
            if run:
                costs = {f"cost/{name}": number for name, number in numbers.items()}
                tracking_log.log_scores(store, run.info.run_id, costs)
                tracking_log.log_shared_files(store, run.info.run_id)
    except Exception as error:
        _warn(error)


def sync(repository: Path) -> list[str]:
    """Publish every models/*/ with its reports/*/ that MLflow does not have; a sentence each.

    Models of other seeds, models/*/seeds/*/, come after their network's.

    Raises:
        UserError: MLflow failed; unlike in a stage, writing there is the user's very wish.
    """
    cards = sorted((repository / "models").glob("*/model.json"))
    cards += sorted((repository / "models").glob("*/seeds/*/model.json"))
    complete = [card.parent for card in cards if card.with_name("model.safetensors").is_file()]
    names = [folder.relative_to(repository / "models") for folder in complete]
    try:
        store = tracking_store.connect(repository)
        return [_sync(store, repository, name) for name in names]
    except Exception as error:
        raise UserError(
            f"MLflow could not be written ({one_line(error)}); check MLFLOW_TRACKING_URI or start"
            f" its server, then run `python -m wbc sync` again. It is"
            f" {tracking_store.uri(repository)} now."
        ) from error


def _sync(store: Store, repository: Path, name: Path) -> str:
    model_dir, report_dir = repository / "models" / name, repository / "reports" / name
    run = _find_run(store, identity(model_dir))
    if run and run.data.tags.get("published") == _report_digest(report_dir):
        return f"{name}: run {run.info.run_name} is there already."
    published = _publish(store, model_dir, report_dir, registered=len(name.parts) == 1)
    run = _find_run(store, identity(model_dir))
    tracking_log.log_shared_files(store, run.info.run_id)  # type: ignore[union-attr]
    return f"{name}: published as run {published}."


def _publish(store: Store, model_dir: Path, report_dir: Path, registered: bool) -> str:
    """Write what the model's run lacks; returns the run's name."""
    card = json.loads((model_dir / "model.json").read_text(encoding="utf-8"))
    metrics_path = report_dir / "metrics.json"
    report = json.loads(metrics_path.read_text("utf-8")) if metrics_path.is_file() else {}
    scores = tracking_record.final_metrics(card, report)
    with store.lock():
        run = _find_run(store, identity(model_dir))
        run_id = run.info.run_id if run else tracking_log.create_run(store, "new", live=False)
        name = _name_after_model(store, run_id, model_dir)
    recorded = lineage.stage_params(store.workspace, card["architecture"])
    recorded.pop("architectures", None)
    tracking_log.log_params(store, run_id, {**flatten_values(recorded), **card["parameters"]})
    tracking_log.log_evaluation_data(store, run_id, report, report_dir)
    tracking_log.log_history(store, run_id, tracking_record.history(model_dir))
    tracking_log.log_scores(store, run_id, scores)
    tracking_log.log_files(store, run_id, model_dir, report_dir)
    experiment = store.client.get_run(run_id).data.tags.get("dvc.experiment", "")
    note = {"mlflow.note.content": tracking_record.description(card, scores, experiment)}
    tracking_log.log_tags(store, run_id, note)
    if registered:
        _register(store, run_id, model_dir, card["architecture"], scores)
    tracking_log.log_tags(store, run_id, {"published": _report_digest(report_dir)})
    if store.client.get_run(run_id).info.status == "RUNNING":
        store.client.set_terminated(run_id, "FINISHED")
    return name


def _register(
    store: Store, run_id: str, model_dir: Path, architecture: str, scores: dict[str, float]
) -> None:
    """Register the model with the code that made it, or say why that cannot be."""
    changed = lineage.changed_modules(store.workspace, architecture)
    if changed:
        _log.warning(
            "%s is not registered: a version carries the code of its model, but %s changed after"
            " the model was made; run `dvc repro`.",
            architecture,
            " and ".join(changed[:3]),
        )
        return
    versions.register(store, run_id, model_dir, scores)


def _name_after_model(store: Store, run_id: str, model_dir: Path) -> str:
    sha256 = identity(model_dir)
    card = json.loads((model_dir / "model.json").read_text(encoding="utf-8"))
    name = f"{card['architecture']}-{sha256[:8]}"
    tracking_log.log_tags(store, run_id, tracking_record.model_tags(card, sha256, model_dir))
    tracking_log.log_data(store, run_id, card["sources"])
    store.client.update_run(run_id, name=name)
    return name


def _find_run(store: Store, sha256: str) -> Any | None:
    """The newest run of the model, one of the same DVC experiment before all others."""
    runs = store.client.search_runs(
        [store.experiment_id],
        f"tags.model_sha256 = '{sha256}'",
        order_by=["attributes.start_time DESC"],
    )
    here = os.environ.get("DVC_EXP_NAME")
    same = [run for run in runs if run.data.tags.get("dvc.experiment") == here]
    return next(iter([*same, *runs]), None)


def _report_digest(report_dir: Path) -> str:
    """Changes when a table, a number or a page of the report changes; figures only show these."""
    files = sorted(path for path in report_dir.glob("*.*") if path.is_file())
    there = [path.read_bytes() for path in files]
    return hashlib.sha256(b"".join(there)).hexdigest()[:16] if there else "no report"


def _warn(error: Exception) -> None:
    _log.warning(
        "MLflow could not be written (%s); the results are complete without it and"
        " `python -m wbc sync` publishes them later.",
        one_line(error),
    )
