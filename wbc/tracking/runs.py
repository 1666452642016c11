"""MLflow's view of a model: one run for its training and its evaluation.

The outputs of the stages are the truth; MLflow gets the same content, live and best effort. If it
is away, everything goes on, one warning says so, and `python -m wbc sync` publishes later: all
that a run needs is in models/ and reports/. A model and its run find each other by the tag
model_sha256 (wbc.model), never by a run id, which would make outputs differ from run to run.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from wbc import processes
from wbc.errors import UserError, one_line
from wbc.tracking import log as tracking_log
from wbc.tracking import open as tracking_open
from wbc.tracking import publish as tracking_publish
from wbc.tracking import reach as tracking_reach
from wbc.tracking import record as tracking_record
from wbc.tracking import store as tracking_store
from wbc.tracking.publish import find_run, name_after_model
from wbc.tracking.record import identity
from wbc.tracking.server import ui
from wbc.tracking.store import Store
from wbc.tracking.sync import sync

__all__ = [
    "TrainingRun",
    "finish_killed",
    "publish",
    "publish_comparison",
    "sync",
    "training_run",
    "ui",
]

_log = logging.getLogger(__name__)


class TrainingRun:
    """The run of a training that is under way. No method raises because of MLflow.

    A server that goes away is waited for at most twice: when that is noticed, and when training
    ends, because it may be back then (docs/team.md has the seconds).
    """

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture
        self._store: Store | None = None
        self._run_id = ""
        self._known: set[tracking_log.Point] = set()  # of a run that goes on after a kill
        self._failures = 0  # after the first no curves are written, and sync fills the gap

    def start(self, parameters: Mapping[str, object], device: str, run_file: Path | None) -> None:
        """Create the run, or reopen the one that `run_file` names; only in the first process."""
        if os.environ.get("RANK", "0") != "0" or os.environ.get("LOCAL_RANK", "0") != "0":
            return
        with self._best_effort():
            store = tracking_store.connect()
            tracking_log.close_dead_runs(store)
            reopened = tracking_log.reopen_run(store, run_file)
            self._run_id = reopened or tracking_log.create_run(store, self._architecture, live=True)
            self._store = store
            self._known = tracking_log.points(store, reopened) if reopened else set()
            if run_file:
                run_file.write_text(self._run_id, encoding="utf-8")
            tags = {"architecture": self._architecture, "device": device}
            tracking_log.log_tags(store, self._run_id, tags)
            tracking_log.log_params(store, self._run_id, parameters)

    def log_epoch(self, epoch: int, metrics: Mapping[str, object]) -> None:
        """Add one epoch to the curves; words, NaN and infinity are left out.

        An epoch that was killed before its checkpoint is trained again; its points stay.
        """
        if self._store and not self._failures:
            with self._best_effort():
                kept = tracking_record.epoch_metrics(metrics)
                tracking_log.log_epoch(self._store, self._run_id, epoch, kept, self._known)

    def finish(self, model_dir: Path) -> None:
        """Name the run after the model that it made; a note is left where MLflow does not hear."""
        if self._store:
            sha256 = identity(model_dir)
            with self._best_effort():
                tracking_open.remember(self._store, sha256, self._run_id)
            with self._best_effort():  # also where the note could not be written
                self._greet_first()
                name_after_model(self._store, self._run_id, model_dir)
                tracking_open.forget(self._store, sha256)

    def end(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        if self._store and self._failures < 2:
            with self._best_effort():
                self._greet_first()
                self._store.client.set_terminated(self._run_id, status)

    def _greet_first(self) -> None:
        """One short question to a server that has failed before, instead of all that is to say."""
        if self._failures:
            tracking_reach.check(tracking_store.uri(tracking_store.root()))

    @contextlib.contextmanager
    def _best_effort(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._failures += 1
            if self._failures == 1:
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
        try:
            # A signal must not break off what is said to MLflow: the run would stay RUNNING.
            with processes.waiting.held():
                run.start(parameters, device, run_file)
            yield run
        except BaseException as error:
            processes.waiting.ended = True
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        with processes.waiting.held():
            run.end("FINISHED")


def finish_killed(
    architecture: str,
    parameters: Mapping[str, object],
    device: str,
    run_file: Path,
    model_dir: Path,
) -> None:
    """Finish the run of a training that was killed when its model was written; best effort."""
    try:
        unfinished = tracking_log.is_unfinished(tracking_store.connect(), run_file)
    except Exception as error:
        _warn(error)
        return
    if unfinished:
        with training_run(architecture, parameters, device, run_file) as run:
            run.finish(model_dir)


def publish(architecture: str, model_dir: Path, report_dir: Path, registered: bool = True) -> None:
    """Complete the run of a trained and evaluated model and register the model; best effort.

    Models of other seeds than the first (`registered=False`) have runs and no version: they show
    how much is luck, and the luckiest is not to be chosen.

    The run is the newest one of this model, or a new one written from the outputs alone (a
    restored run cache, a fresh clone). Publishing twice is the same as publishing once.
    """
    try:
        done = tracking_publish.publish(tracking_store.connect(), model_dir, report_dir, registered)
        _log.info("%s: MLflow run %s", architecture, done.run_name)
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
            run = find_run(store, identity(model_dir))
            if run:
                costs = {f"cost/{name}": number for name, number in numbers.items()}
                tracking_log.log_scores(store, run.info.run_id, costs)
                tracking_log.log_shared_files(store, run.info.run_id)
                # When evaluate logged it, dvc.lock did not name evaluate's own outputs yet.
                tracking_log.log_dvc_lock(store, run.info.run_id)
    except Exception as error:
        _warn(error)


def _warn(error: Exception) -> None:
    """One warning: what is wrong, and what brings the rest later."""
    if isinstance(error, UserError):  # a sentence already, with a command that must not be cut
        _log.warning(
            "%s Nothing was recorded in MLflow; the results are complete without it and"
            " `python -m wbc sync` publishes them later.",
            error,
        )
    else:
        _log.warning(
            "MLflow could not be written (%s); the results are complete without it and"
            " `python -m wbc sync` publishes them later.",
            one_line(error),
        )
