"""The registered model wbc-classifier: one version for each distinct model.

A version is a pyfunc from code (wbc/serving.py) with its own copy of this package, so that later
edits of the workspace cannot change its answers; it holds no pickle.
"""

import json
import logging
import shutil
import tempfile
import warnings
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final

from wbc import tracking_log, tracking_record, tracking_store
from wbc.cells import CLASSES
from wbc.errors import one_line
from wbc.tracking_store import MODEL, Store

CHALLENGER: Final = "challenger"
PACKAGES: Final = (  # what a version imports, beside the standard library
    "joblib",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "ruamel.yaml",
    "safetensors",
    "scikit-image",
    "scipy",
    "simplejpeg",
    "torch",
    "torchvision",
)
_VERSION_TAGS: Final = ("model_sha256", "data_sha256", "architecture", "start", "drawn")

_log = logging.getLogger(__name__)


def register(store: Store, run_id: str, model_dir: Path, scores: dict[str, float]) -> str:
    """Register the model of a run unless a version of it exists; returns the version's number.

    Another run that made the same model is tagged `reproduces` with that number.
    """
    with store.lock():
        version = find_version(store, tracking_record.identity(model_dir))
        if version is None:
            version = _create_version(store, run_id, model_dir, scores)
    name = "model_version" if version.run_id == run_id else "reproduces"
    tracking_log.log_tags(store, run_id, {name: str(version.version)})
    return str(version.version)


def find_version(store: Store, sha256: str) -> Any | None:
    """The version of the model with this SHA-256, or None."""
    found = store.client.search_model_versions(
        f"name = '{MODEL}' and tags.model_sha256 = '{sha256}'"
    )
    return found[0] if found else None


def propose_challenger(sha256: str, metric: str, value: float, evaluation_set_sha256: str) -> str:
    """Move the alias challenger to the model if its validation score is better; best effort.

    Only scores on the same evaluation set and models with the same kind of start (ImageNet, a
    file, random) are compared. Returns a sentence that says what was done and why.
    """
    try:
        store = tracking_store.connect()
        with store.lock():
            return _propose(store, sha256, metric, value, evaluation_set_sha256)
    except Exception as error:
        reason = one_line(error)
        return f"The alias {CHALLENGER} was not looked at, because MLflow failed ({reason})."


def _propose(store: Store, sha256: str, metric: str, value: float, cells: str) -> str:
    candidate = find_version(store, sha256)
    if candidate is None:
        return (
            f"The alias {CHALLENGER} stays: the model {sha256[:8]} is not registered;"
            " `python -m wbc sync` does that."
        )
    number = candidate.version
    for name, text in ((metric, repr(value)), ("evaluation_set_sha256", cells)):
        store.client.set_model_version_tag(MODEL, number, name, text)
    aliases = store.client.get_registered_model(MODEL).aliases
    if CHALLENGER not in aliases:
        store.client.set_registered_model_alias(MODEL, CHALLENGER, number)
        return f"Version {number} is the first {CHALLENGER}, {metric} {value:.4f}."
    holder = store.client.get_model_version(MODEL, aliases[CHALLENGER])
    if str(holder.version) == str(number):
        return f"Version {number} is {CHALLENGER} already, {metric} {value:.4f}."
    refusal = _refusal(candidate, holder, metric, value, cells)
    if refusal:
        return f"Version {number} does not become {CHALLENGER}: {refusal}"
    store.client.set_registered_model_alias(MODEL, CHALLENGER, number)
    return (
        f"Version {number} is the new {CHALLENGER}: {metric} {value:.4f} instead of"
        f" {float(holder.tags[metric]):.4f} of version {holder.version}."
    )


def _refusal(candidate: Any, holder: Any, metric: str, value: float, cells: str) -> str:
    """Why the candidate must not take the alias from its holder; "" if it may."""
    remedy = "remove the alias in the MLflow UI to begin anew."
    if holder.tags.get("start") != candidate.tags.get("start"):
        return (
            f"it started from {candidate.tags.get('start')}, version {holder.version} from"
            f" {holder.tags.get('start')}, and these are not ranked together; {remedy}"
        )
    if holder.tags.get("evaluation_set_sha256") != cells or metric not in holder.tags:
        return f"version {holder.version} was not scored on the same validation cells; {remedy}"
    if value <= float(holder.tags[metric]):
        return (
            f"its {metric} {value:.4f} is not above {float(holder.tags[metric]):.4f}"
            f" of version {holder.version}."
        )
    return ""


def _create_version(store: Store, run_id: str, model_dir: Path, scores: dict[str, float]) -> Any:
    from mlflow.entities import LoggedModelOutput

    card = json.loads((model_dir / "model.json").read_text(encoding="utf-8"))
    run = store.client.get_run(run_id)
    logged = store.client.create_logged_model(
        store.experiment_id, name=run.info.run_name, source_run_id=run_id, model_type="pyfunc"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        package(model_dir, folder, logged.model_id, run_id)
        store.client.log_model_artifacts(logged.model_id, str(folder))
    store.client.finalize_logged_model(logged.model_id, "READY")
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
    known_as = json.dumps([{"name": MODEL, "version": version.version}])  # as MLflow's own writes
    store.client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": known_as})
    return version


def package(model_dir: Path, target: Path, model_id: str = "", run_id: str = "") -> None:
    """Write the model as an MLflow pyfunc folder with its own copy of this package."""
    tracking_store.prepare_environment()
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    numbers = [ColSpec(DataType.double, f"p_{name}") for name in CLASSES]
    outputs = [
        ColSpec(DataType.string, "class"),
        *numbers,
        ColSpec(DataType.boolean, "located"),
        ColSpec(DataType.string, "error"),
    ]
    here = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*input example was not provided", category=UserWarning
        )
        code = Path(scratch) / "wbc"
        shutil.copytree(here, code, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        mlflow.pyfunc.save_model(
            path=str(target),
            mlflow_model=Model(model_uuid=model_id or None, model_id=model_id, run_id=run_id),
            python_model=str(code / "serving.py"),
            artifacts={
                "weights": str(model_dir / "model.safetensors"),
                "card": str(model_dir / "model.json"),
            },
            code_paths=[str(code)],
            pip_requirements=requirements(),
            signature=ModelSignature(
                inputs=Schema([ColSpec(DataType.binary, "image")]),
                outputs=Schema(outputs),
                params=ParamSchema([ParamSpec("calibrated", DataType.boolean, True)]),
            ),
        )


def requirements() -> list[str]:
    """The packages that a version needs, pinned as installed, without a build label.

    `torch==2.14.1` and not `torch==2.14.1+rocm6.4`: a version made on a GPU loads on a CPU.
    """
    return [f"{name}=={installed(name).split('+')[0]}" for name in PACKAGES]
