"""What a registered version needs, and removing what none does; for `clean`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from wbc.errors import UserError
from wbc.lineage import cache as lineage_cache
from wbc.tracking.move import path_of
from wbc.tracking.store import MODEL, Store


def all_versions(store: Store) -> list[Any]:
    """Every version of every registered model."""
    found: list[Any] = []
    token: str | None = ""
    while token is not None:
        page = store.client.search_model_versions("", page_token=token or None)
        found, token = [*found, *page], page.token or None
    return found


def aliased(store: Store) -> dict[str, str]:
    """{number: alias} of the versions that have one."""
    aliases = store.client.get_registered_model(MODEL).aliases
    return {str(number): alias for alias, number in aliases.items()}


def logged_models(store: Store) -> list[Any]:
    """Every logged model of the experiment that MLflow does not count as deleted."""
    found: list[Any] = []
    token: str | None = ""
    while token is not None:
        page = store.client.search_logged_models([store.experiment_id], page_token=token or None)
        found, token = [*found, *page], page.token or None
    return found


def location(store: Store, version: Any) -> str:
    """Where the files of a version lie."""
    return str(store.client.get_model_version_download_uri(version.name, version.version))


def hashes(store: Store, repository: Path, versions: list[Any]) -> set[str]:
    """DVC's hashes that the versions' runs record, so that they can be rebuilt and checked out.

    Those of dvc.lock and of what was not committed, as the run keeps them, and of the commit.

    Raises:
        UserError: a version with an alias does not say what it needs.
    """
    held = aliased(store)
    named: set[str] = set()
    commits: set[str] = set()
    for version in versions:
        if version.name != MODEL:
            continue
        found, whole = _recorded(store, version.run_id)
        if not whole and str(version.version) in held:
            raise UserError(
                f"Version {version.version} ({held[str(version.version)]}) should say what it was"
                " made of, but its run keeps no readable lineage/dvc.lock, so nothing is removed;"
                f" move the alias or delete the version, or look at its run {version.run_id}."
            )
        named |= found
        commits.add(version.tags.get("git.commit", ""))
    for commit in commits - {""}:
        named |= lineage_cache.in_commit(repository, commit)
    return named


def _recorded(store: Store, run_id: str) -> tuple[set[str], bool]:
    """Hashes in the run's lineage/ and the digests of its data; whether dvc.lock was among it."""
    from mlflow.exceptions import MlflowException

    try:
        run = store.client.get_run(run_id)
        with TemporaryDirectory() as scratch:
            folder = Path(store.client.download_artifacts(run_id, "lineage", scratch))
            files = [path for path in folder.rglob("*") if path.is_file()]
            texts = [path.read_bytes() for path in files]
    except (MlflowException, OSError):  # the run or its files are gone
        return set(), False
    digests = " ".join(data.dataset.digest for data in run.inputs.dataset_inputs).encode()
    found = lineage_cache.hashes_in(b"\n".join([*texts, digests]))
    return found, "dvc.lock" in {path.name for path in files}


def remove_version(store: Store, number: str) -> None:
    """The version and the files of its model; its run stays, with its scores and its report."""
    version = store.client.get_model_version(MODEL, number)
    if number in aliased(store):
        raise UserError(f"Version {number} has got an alias meanwhile; nothing more is removed.")
    store.client.delete_model_version(MODEL, number)
    if version.source.startswith("models:/m-"):
        remove_model(store, version.source.removeprefix("models:/"))


def remove_model(store: Store, model_id: str) -> None:
    """A logged model, its row and its files, as `mlflow gc` does."""
    tracking = store.client._tracking_client.store
    place = tracking.get_logged_model(model_id, allow_deleted=True).artifact_location
    tracking._hard_delete_logged_model(model_id)
    _remove_files(place)


def remove_run(store: Store, run_id: str) -> None:
    """A run, its row and its files, as `mlflow gc` does."""
    place = store.client.get_run(run_id).info.artifact_uri
    store.client._tracking_client.store._hard_delete_run(run_id)
    _remove_files(place)


def _remove_files(place: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(place).delete_artifacts()
    path = path_of(place)
    if (
        path
        and path.name == "artifacts"
        and path.parent.is_dir()
        and not any(path.parent.iterdir())
    ):
        path.parent.rmdir()
