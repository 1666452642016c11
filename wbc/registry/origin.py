"""What a version records of how it was made: commit, patch, dvc.lock, processor, scores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wbc.errors import UserError, one_line
from wbc.registry import access
from wbc.tracking.store import MODEL, Store

_PREFIX: Final = "models:/"


@dataclass(frozen=True)
class Origin:
    """A version of wbc-classifier, and how its run says it was made."""

    version: str
    name: str  # of the run: architecture and the first digits of the model's SHA-256
    architecture: str
    model_sha256: str
    commit: str
    patch: bytes  # what was not committed; b"" when nothing
    patch_note: str  # what the patch could not hold
    lock: bytes  # dvc.lock
    tags: Mapping[str, str]  # of the run
    run_id: str

    @property
    def words(self) -> str:
        changes = " with what was not committed" if self.patch else ""
        return f"version {self.version} ({self.name}): commit {self.commit[:12]}{changes}"


def read(store: Store, reference: str) -> Origin:
    """The origin of the version that `reference` names (see `find`).

    Raises:
        UserError: there is no such version, or too little was recorded to go back.
    """
    version = find(store, reference)
    access.refuse_foreign(version)
    run = store.client.get_run(version.run_id)
    files = _lineage_files(store, version.run_id)
    _refuse_what_cannot_be_made_again(version, run.data.tags, files)
    return Origin(
        version=str(version.version),
        name=str(run.info.run_name),
        architecture=version.tags["architecture"],
        model_sha256=version.tags["model_sha256"],
        commit=run.data.tags["git.commit"],
        patch=files.get("uncommitted.patch", b""),
        patch_note=run.data.tags.get("git.patch", ""),
        lock=files["dvc.lock"],
        tags=dict(run.data.tags),
        run_id=str(run.info.run_id),
    )


def find(store: Store, reference: str) -> Any:
    """The version that is meant by models:/wbc-classifier/3, 3, models:/…@champion or champion.

    Raises:
        UserError: there is none; names those that there are.
    """
    wanted = reference.removeprefix(_PREFIX).removeprefix(MODEL).lstrip("/@")
    return access.find(store, int(wanted) if wanted.isdecimal() else None, wanted)


def download(store: Store, origin: Origin, target: Path) -> tuple[Path, dict[str, Any]]:
    """The version's own files (a folder with model.safetensors, model.json) and its metrics.json.

    Raises:
        UserError: MLflow fails, or files of the version are gone.
    """
    import mlflow.artifacts

    target.mkdir(parents=True, exist_ok=True)
    source = f"{_PREFIX}{MODEL}/{origin.version}"
    try:
        folder = mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(target))
        report = store.client.download_artifacts(origin.run_id, "report/metrics.json", str(target))
        scores: dict[str, Any] = json.loads(Path(report).read_text(encoding="utf-8"))
    except Exception as error:
        raise UserError(
            f"The files of version {origin.version} cannot be had from the registry"
            f" ({one_line(error, 160)}); restore mlruns/artifacts from a backup, or check the"
            " server's artifact store."
        ) from None
    return Path(folder) / "artifacts", scores


def _lineage_files(store: Store, run_id: str) -> dict[str, bytes]:
    """dvc.lock and uncommitted.patch, as far as the run has them."""
    from tempfile import TemporaryDirectory

    if not store.client.list_artifacts(run_id, "lineage"):
        return {}
    with TemporaryDirectory() as scratch:
        folder = Path(store.client.download_artifacts(run_id, "lineage", scratch))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _refuse_what_cannot_be_made_again(
    version: Any, tags: Mapping[str, str], files: Mapping[str, bytes]
) -> None:
    number = version.version
    if "adapted_from" in tags:
        raise UserError(
            f"Version {number} was adapted from {tags['adapted_from'][:12]} to"
            f" {tags.get('adapted_to', 'another laboratory')} by `python -m wbc adapt`, which is no"
            " stage of the pipeline, so it cannot be made again from its record; verify the"
            " version that it was adapted from, and run `adapt` again."
        )
    lacks = [
        words
        for there, words in (
            ("git.commit" in tags, "git commit"),
            ("dvc.lock" in files, "dvc.lock"),
            (tags.get("git.dirty") != "true" or "uncommitted.patch" in files, "patch of what was"
             " not committed"),
        )
        if not there
    ]  # fmt: skip
    if lacks:
        raise UserError(
            f"Version {number} cannot be made again, because its run records no"
            f" {' and no '.join(lacks)}: it was registered"
            f" {'afterwards, ' if tags.get('recorded') == 'afterwards' else ''}where git or DVC"
            " could not be asked; train it again with `dvc repro` in a git repository."
        )
