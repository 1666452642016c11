"""The registered model wbc-classifier: one version for each distinct model.

A version is a pyfunc from code (wbc/serving.py) with its own copy of this package, so that later
edits of the workspace cannot change its answers; it holds no pickle.
"""

import json
import tempfile
from pathlib import Path
from typing import Any, Final

from wbc import processes
from wbc.registry.packaging import package
from wbc.tracking import log as tracking_log
from wbc.tracking import record as tracking_record
from wbc.tracking.store import MODEL, Store, patience

NAMES_VERSION: Final = ("model_version", "reproduces")  # tags of a run with a version's number
_KNOWN_AS: Final = "mlflow.modelVersions"  # tag of a logged model
_VERSION_TAGS: Final = ("model_sha256", "data_sha256", "architecture", "start", "drawn")


def register(store: Store, run_id: str, model_dir: Path, scores: dict[str, float]) -> str:
    """Register the model of a run unless a version of it exists; returns the version's number.

    Another run that made the same model is tagged `reproduces` with that number.
    """
    with store.lock():
        version = find_version(store, tracking_record.identity(model_dir))
        if version is None:
            version = _only_one(store, _create_version(store, run_id, model_dir, scores))
        else:
            _tell_logged_model(store, version)  # perhaps a kill came before
    name = NAMES_VERSION[0 if version.run_id == run_id else 1]
    tracking_log.log_tags(store, run_id, {name: str(version.version)})
    return str(version.version)


def find_version(store: Store, sha256: str) -> Any | None:
    """The version of the model with this SHA-256, the first one, or None."""
    found = store.client.search_model_versions(
        f"name = '{MODEL}' and tags.model_sha256 = '{sha256}'"
    )
    return min(found, key=lambda version: int(version.version), default=None)


def _only_one(store: Store, created: Any) -> Any:
    """The first version of the model; `created` is deleted where another machine was quicker.

    The lock is this machine's. Versions are numbered by the server, so of two that were created at
    once both machines keep the same one.
    """
    first = find_version(store, created.tags["model_sha256"])
    if first is None or int(first.version) >= int(created.version):
        return created
    store.client.delete_model_version(MODEL, created.version)
    store.client.delete_logged_model(created.source.removeprefix("models:/"))
    return first


def all_versions(store: Store) -> list[Any]:
    """Every version of the registered model, the oldest first."""
    found: list[Any] = []
    token = None
    while token is None or token:
        page = store.client.search_model_versions(f"name = '{MODEL}'", page_token=token or None)
        found, token = [*found, *page], page.token or ""
    return sorted(found, key=lambda version: int(version.version))


def _create_version(store: Store, run_id: str, model_dir: Path, scores: dict[str, float]) -> Any:
    from mlflow.entities import LoggedModelOutput

    card = json.loads((model_dir / "model.json").read_text(encoding="utf-8"))
    run = store.client.get_run(run_id)
    logged = _begun(store, run_id) or store.client.create_logged_model(
        store.experiment_id,
        name=run.info.run_name,
        source_run_id=run_id,
        model_type="pyfunc",
        tags={tracking_log.PROCESS_TAG: processes.own_name()},
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        package(model_dir, folder, logged.model_id, run_id)
        with patience(folder):
            store.client.log_model_artifacts(logged.model_id, str(folder))
    store.client.finalize_logged_model(logged.model_id, "READY")
    known = [output.model_id for output in run.outputs.model_outputs] if run.outputs else []
    if logged.model_id not in known:
        store.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    tags = {name: run.data.tags[name] for name in _VERSION_TAGS} | {"run_name": run.info.run_name}
    if "git.commit" in run.data.tags:
        tags["git.commit"] = run.data.tags["git.commit"]
    if "val/macro_f1" in scores:
        tags["val/macro_f1"] = repr(scores["val/macro_f1"])
    version = store.client.create_model_version(
        MODEL,
        source=f"models:/{logged.model_id}",
        run_id=run_id,
        tags=tags,
        description=tracking_record.sentence(card, scores),
        model_id=logged.model_id,
    )
    _tell_logged_model(store, version)
    return version


def _begun(store: Store, run_id: str) -> Any | None:
    """A logged model of the run that a process was killed over, or None."""
    found = store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run_id}'")
    begun = [model for model in found if _KNOWN_AS not in model.tags]
    tag = tracking_log.PROCESS_TAG
    return next((m for m in begun if tracking_log.is_gone(store, m.tags.get(tag, ""))), None)


def _tell_logged_model(store: Store, version: Any) -> None:
    """Let the logged model name its version, as MLflow's own registering does."""
    if version.source.startswith("models:/"):
        known_as = json.dumps([{"name": MODEL, "version": version.version}])
        model_id = version.source.removeprefix("models:/")
        store.client.set_logged_model_tags(model_id, {_KNOWN_AS: known_as})
