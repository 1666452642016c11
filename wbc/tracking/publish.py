"""Writing a model's run and version from its outputs: what `evaluate` and `sync` do alike."""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wbc.lineage import state as lineage
from wbc.params import flatten_values
from wbc.registry import versions
from wbc.tracking import inputs
from wbc.tracking import log as tracking_log
from wbc.tracking import open as tracking_open
from wbc.tracking import record as tracking_record
from wbc.tracking.log import Origin
from wbc.tracking.record import identity
from wbc.tracking.store import Store
from wbc.written import read_json, read_predictions, read_scores

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """The run of a model, and the number of its version; None for one without."""

    run_id: str
    run_name: str
    version: str | None


def publish(
    store: Store, model_dir: Path, report_dir: Path, registered: bool, origin: Origin | None = None
) -> Published:
    """Write what the model's run lacks.

    origin: what is known of where outputs come from that were found, not just made; None in a
    stage, which DVC runs on exactly the code, parameters and data of the working directory.

    Raises:
        UserError: a file of the model or of its report is damaged; nothing was written.
    """
    card = read_json(model_dir / "model.json")
    report, history = _read_report(report_dir), tracking_record.history(model_dir)
    scores = tracking_record.final_metrics(card, report)
    sha256 = identity(model_dir)
    with store.lock():
        run = find_run(store, sha256)
        run_id = (
            run.info.run_id
            if run
            else tracking_log.create_run(store, "new", False, origin, model_sha256=sha256)
        )
        name = name_after_model(store, run_id, model_dir, origin)
    if not run:
        run_id = _only_one(store, sha256, run_id)
    recorded = {} if origin and not origin.lock else _stage_params(store, card["architecture"])
    tracking_log.log_params(store, run_id, {**recorded, **card["parameters"]})
    inputs.log_evaluation_data(store, run_id, report, report_dir)
    if not origin or origin.lock:
        tracking_log.log_dvc_lock(store, run_id)
    tracking_log.log_history(store, run_id, history)
    tracking_log.log_scores(store, run_id, scores)
    tracking_log.log_files(store, run_id, model_dir, report_dir)
    experiment = store.client.get_run(run_id).data.tags.get("dvc.experiment", "")
    note = {"mlflow.note.content": tracking_record.description(card, scores, experiment)}
    tracking_log.log_tags(store, run_id, note)
    version = _register(store, run_id, model_dir, scores, origin) if registered else None
    tracking_log.log_tags(store, run_id, {"published": report_digest(report_dir)})
    left_open = tracking_open.find(store, sha256) is not None  # perhaps KILLED by now
    if left_open or store.client.get_run(run_id).info.status == "RUNNING":
        store.client.set_terminated(run_id, "FINISHED")
    tracking_open.forget(store, sha256)
    return Published(run_id, name, version)


def _read_report(report_dir: Path) -> dict[str, dict[str, Any]]:
    """The scores of all sets; {} where evaluate has not run.

    Raises:
        UserError: they are damaged, or predictions.csv is.
    """
    path = report_dir / "metrics.json"
    report = read_scores(path) if path.is_file() else {}
    if (report_dir / "predictions.csv").is_file():
        read_predictions(report_dir, report)
    return report


def _register(
    store: Store, run_id: str, model_dir: Path, scores: dict[str, float], origin: Origin | None
) -> str | None:
    """Register the model with the code that made it, or say why that cannot be."""
    architecture = model_dir.name
    changed = lineage.changed_modules(store.workspace, architecture)
    reason = f"{' and '.join(changed[:3])} changed after the model was made" if changed else ""
    if origin and not origin.lock:
        reason = "dvc.lock here tells of another model"
    if reason:
        _log.warning(
            "%s is not registered: a version carries the code of its model, but %s; run"
            " `dvc repro`.",
            architecture,
            reason,
        )
        return None
    return versions.register(store, run_id, model_dir, scores)


def _stage_params(store: Store, architecture: str) -> dict[str, Any]:
    recorded = lineage.stage_params(store.workspace, architecture)
    recorded.pop("architectures", None)
    return flatten_values(recorded)


def name_after_model(
    store: Store, run_id: str, model_dir: Path, origin: Origin | None = None
) -> str:
    """Tag the run with what its model is; returns the run's new name."""
    sha256 = identity(model_dir)
    card = read_json(model_dir / "model.json")
    name = f"{card['architecture']}-{sha256[:8]}"
    tracking_log.log_tags(store, run_id, tracking_record.model_tags(card, sha256, model_dir))
    if not origin or origin.lock:
        inputs.log_data(store, run_id, card["sources"])
    store.client.update_run(run_id, name=name)
    return name


def find_run(store: Store, sha256: str) -> Any | None:
    """The newest run of the model, one of the same DVC experiment before all others.

    One that was left open, because the server was away when it should have got its name, is newer.
    """
    left_open = tracking_open.find(store, sha256)
    if left_open is not None:
        return left_open
    runs = store.client.search_runs(
        [store.experiment_id],
        f"tags.model_sha256 = '{sha256}'",
        order_by=["attributes.start_time DESC"],
    )
    here = os.environ.get("DVC_EXP_NAME")
    same = [run for run in runs if run.data.tags.get("dvc.experiment") == here]
    return next(iter([*same, *runs]), None)


def _only_one(store: Store, sha256: str, run_id: str) -> str:
    """The run to complete, where another machine may have created one at the same moment.

    No lock reaches from machine to machine: both look again, and the younger one goes.
    """
    runs = store.client.search_runs([store.experiment_id], f"tags.model_sha256 = '{sha256}'")
    first = min(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    if first.info.run_id != run_id:
        store.client.delete_run(run_id)
    return str(first.info.run_id)


def report_digest(report_dir: Path) -> str:
    """Changes when a table, a number or a page of the report changes; figures only show these."""
    files = sorted(path for path in report_dir.glob("*.*") if path.is_file())
    there = [path.read_bytes() for path in files]
    return hashlib.sha256(b"".join(there)).hexdigest()[:16] if there else "no report"
