"""MLflow's side of `adapt`: the model it starts from, the run and the version it makes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from wbc.errors import UserError, one_line
from wbc.lineage import state as lineage
from wbc.registry import champion, versions
from wbc.registry.challenger import CHALLENGER
from wbc.tracking import inputs
from wbc.tracking import log as tracking_log
from wbc.tracking import record as tracking_record
from wbc.tracking import store as tracking_store
from wbc.tracking.log import Origin
from wbc.tracking.publish import find_run, report_digest
from wbc.tracking.store import MODEL, Store
from wbc.written import read_json

PREFIX: Final = "models:/"


@contextmanager
def model_folder(reference: str, repository: Path) -> Iterator[Path]:
    """The folder with model.safetensors and model.json that `reference` names.

    reference: `models:/NAME@ALIAS` or `models:/NAME/VERSION`, which is copied from the registry
    for as long as the context lasts, or a folder such as models/googlenet.

    Raises:
        UserError: there is no such model.
    """
    if not reference.startswith(PREFIX):
        folder = Path(reference)
        if not (folder / "model.json").is_file():
            raise UserError(
                f"--model should be a folder with a model, such as models/googlenet, or a version"
                f" in the registry, such as {PREFIX}{MODEL}@{CHALLENGER}, but {reference}"
                " holds no model.json; `dvc repro` makes models/."
            )
        yield folder
        return
    with TemporaryDirectory() as scratch:
        yield _download(reference, repository, Path(scratch))


def _download(reference: str, repository: Path, scratch: Path) -> Path:
    try:
        store = tracking_store.connect(repository)
        wants_champion = reference == f"{PREFIX}{MODEL}@{champion.CHAMPION}"
        if wants_champion and champion.check(store) is None:
            raise UserError(
                "Nobody is champion yet; `python -m wbc promote` makes a version one, and --model"
                f" also takes {PREFIX}{MODEL}@{CHALLENGER} or a folder such as models/googlenet."
            )
        import mlflow.artifacts

        found = mlflow.artifacts.download_artifacts(artifact_uri=reference, dst_path=str(scratch))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{reference} cannot be had from the registry ({one_line(error, 160)}); `make ui` shows"
            f" which versions and aliases {MODEL} has, and --model also takes a folder such as"
            " models/googlenet."
        ) from None
    folder = Path(found) / "artifacts"
    if not (folder / "model.json").is_file():
        raise UserError(f"{reference} is no model of this project: it holds no model.json.")
    return folder


def publish(repository: Path, folder: Path, scores: Mapping[str, float]) -> str:
    """Log an adapted model as a run and register it; a sentence that says what was done.

    No alias moves: which model is used is decided by promotion. The same model again makes no
    second run and no second version. If MLflow fails, the sentence says so.
    """
    try:
        store = tracking_store.connect(repository)
        return f"MLflow: {publish_folder(store, folder, dict(scores), live=True)}"
    except UserError as error:
        return f"{error} {folder} is complete without MLflow; `python -m wbc sync` publishes it."
    except Exception as error:
        return (
            f"MLflow could not be written ({one_line(error)}); {folder} is complete without it, and"
            " `python -m wbc sync` publishes it later."
        )


def read_scores(folder: Path) -> dict[str, float]:
    """The scores that `adapt` left in the folder, by MLflow's names; {} where it was killed."""
    path = folder / "before_after.json"
    sets = read_json(path, ("sets",))["sets"] if path.is_file() else {}
    kept = ("before", "after", "difference")
    return tracking_record.flat_scores(
        {name: {key: result[key] for key in kept if key in result} for name, result in sets.items()}
    )


def publish_folder(store: Store, folder: Path, scores: dict[str, float], live: bool) -> str:
    """Write run and version of an adapted model; words for the end of a sentence.

    live: the model was adapted just now, by the code and on the machine that are here.
    """
    card = read_json(folder / "model.json")
    sha256 = tracking_record.identity(folder)
    name = f"{card['architecture']}-{sha256[:8]}"
    origin = None if live else Origin(code=False, lock=False)
    with store.lock():
        run = find_run(store, sha256)
        run_id = (
            run.info.run_id if run else tracking_log.create_run(store, name, live, origin, sha256)
        )
        tags = tracking_record.model_tags(card, sha256, folder) | adapted_tags(card)
        tracking_log.log_tags(store, run_id, tags)
    note = {"mlflow.note.content": tracking_record.sentence(card, scores)}
    tracking_log.log_tags(store, run_id, note)
    tracking_log.log_params(store, run_id, card["parameters"])
    if live:
        inputs.log_data(store, run_id, card["sources"])
        tracking_log.log_dvc_lock(store, run_id)
    tracking_log.log_scores(store, run_id, scores)
    store.client.log_artifacts(run_id, str(folder), "adapted")
    words = _register(store, run_id, folder, card, scores)
    tracking_log.log_tags(store, run_id, {"published": report_digest(folder)})
    store.client.set_terminated(run_id, "FINISHED")
    return f"run {name}, {words}."


def _register(
    store: Store, run_id: str, folder: Path, card: dict[str, Any], scores: dict[str, float]
) -> str:
    changed = lineage.changed_modules(store.workspace, "")  # "": those of preprocess only
    if changed:
        return f"not registered, because {changed[0]} changed after the cells were prepared"
    version = versions.register(store, run_id, folder, scores)
    for key, value in adapted_tags(card).items():
        store.client.set_model_version_tag(MODEL, version, key, value)
    return f"version {version} of {MODEL}, no alias moved"


def adapted_tags(card: Mapping[str, Any]) -> dict[str, str]:
    """What run and version say: parent's SHA-256, laboratory, cells a class and draw, or how many
    cells without labels."""
    adapted = card["adapted"]
    tags = {"adapted_from": str(adapted["from"]), "adapted_to": str(adapted["set"])}
    if "unlabelled" in adapted:
        return tags | {"unlabelled": str(adapted["unlabelled"])}
    return tags | {"per_class": str(adapted["per_class"]), "adapt_seed": str(adapted["seed"])}
