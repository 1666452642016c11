"""MLflow's side of `drift`: one run a folder, in an experiment of its own.

So the months of a laboratory stand below each other and in one chart, and the list of trainings
stays what it is.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from wbc.errors import UserError, one_line
from wbc.tracking import log as tracking_log
from wbc.tracking import store as tracking_store
from wbc.tracking.store import Store

EXPERIMENT: Final = "wbc-drift"
DAY_SECONDS: Final = 24 * 3600
YEAR_SECONDS: Final = 365 * 24 * 3600  # months are compared with those of the year before

_log = logging.getLogger(__name__)


def publish(
    repository: Path, folder: Path, tags: Mapping[str, str], numbers: Mapping[str, float]
) -> None:
    """Log what `drift` found and wrote into `folder`; best effort, with one warning.

    A second look at the same folder is a second run: the folder may have grown.
    """
    try:
        store = tracking_store.connect(repository)
        name = _publish(store, folder, tags, numbers)
        _log.info("MLflow: run %s in the experiment %s", name, EXPERIMENT)
    except Exception as error:
        words = str(error) if isinstance(error, UserError) else f"({one_line(error)})"
        _log.warning("MLflow could not be written: %s %s is complete without it.", words, folder)


def dispensable(store: Store, keep_last: int | None) -> list[Any]:
    """Runs that `clean` removes: deleted by a person, or ended before all was written, which is
    also true of one that still runs after a day: writing takes seconds, so its process was killed.

    With keep_last also checks that are older than a year, but each model's newest `keep_last`.
    """
    from mlflow.entities import ViewType

    experiment = store.client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    runs = store.client.search_runs(
        [experiment.experiment_id], "", ViewType.ALL, 10_000, ["attributes.start_time DESC"]
    )
    day_ago = 1000 * (time.time() - DAY_SECONDS)
    going, by_model = [], defaultdict(list)
    for run in runs:
        left = run.info.status == "RUNNING" and run.info.start_time < day_ago
        ended = run.info.status in ("FAILED", "KILLED")
        if run.info.lifecycle_stage == "deleted" or ended or left:
            going.append(run)
        elif run.info.status == "FINISHED":
            by_model[run.data.tags.get("drift.model_sha256", "")].append(run)
    if keep_last is None:
        return going
    year_ago = 1000 * (time.time() - YEAR_SECONDS)
    later = (run for checks in by_model.values() for run in checks[keep_last:])
    return [*going, *(run for run in later if run.info.start_time < year_ago)]


def _publish(
    store: Store, folder: Path, tags: Mapping[str, str], numbers: Mapping[str, float]
) -> str:
    name = f"{tags['drift.folder']}: {tags['drift.verdict']}"
    run = store.client.create_run(_experiment(store), run_name=name)
    run_id = str(run.info.run_id)
    try:
        tracking_log.log_tags(store, run_id, {**tags, "mlflow.source.name": "python -m wbc drift"})
        tracking_log.log_scores(store, run_id, numbers)
        for path in sorted(folder.glob("drift.*")):
            store.client.log_artifact(run_id, str(path), "drift")
    except BaseException:
        store.client.set_terminated(run_id, "FAILED")
        raise
    store.client.set_terminated(run_id, "FINISHED")
    return name


def _experiment(store: Store) -> str:
    """Created under the store's lock, with its files beside those of the trainings."""
    with store.lock():
        found = store.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            where = tracking_store.artifact_root(store.client.tracking_uri)
            kind = {"mlflow.experimentKind": "custom_model_development"}
            return str(store.client.create_experiment(EXPERIMENT, where, tags=kind))
        if found.lifecycle_stage == "deleted":
            store.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
