"""What `clean` would remove, and why some of it may not go; nothing is changed here."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wbc.lineage import cache as lineage_cache
from wbc.lineage import state as lineage
from wbc.registry import champion, trail
from wbc.tracking import database as tracking_database
from wbc.tracking import drift as tracking_drift
from wbc.tracking import needs as tracking_needs
from wbc.tracking import record as tracking_record
from wbc.tracking.move import path_of
from wbc.tracking.store import MODEL, Store, uri

_OLD_SECONDS: Final = 7 * 24 * 3600  # a training that nobody has continued for so long
HALF_COPIED: Final = ".artifact.uploading."  # of MLflow's local artifact store, looked up in 3.17
_VERSIONS: Final = "mlflow.modelVersions"  # tag of a logged model: [{"name", "version"}, …]


@dataclass(frozen=True)
class Item:
    """Something to remove: what kind, its name there, and its bytes."""

    kind: str
    name: str
    size: int


@dataclass(frozen=True)
class Plan:
    items: tuple[Item, ...]
    notes: tuple[str, ...]  # what is left out, and why

    def of(self, kind: str) -> list[Item]:
        return [item for item in self.items if item.kind == kind]


def make_plan(store: Store, repository: Path, keep_last: int | None, tips: bool) -> Plan:
    """Everything that may go; nothing is changed."""
    versions = tracking_needs.all_versions(store)
    now = champion.standing(store)
    notes = [f"{now.problem} What is left of its files stays."] if now.problem else []
    items: list[Item] = []
    going: list[Any] = []
    local = tracking_database.file_of(uri(repository))
    if local:
        going = _dispensable(store, repository, versions, keep_last)
        items += [_version_item(store, version) for version in going]
        staying = [v for v in versions if v not in going]
        rescue = _models_of(store, now.recorded) if now.problem else []
        items += _models(store, [*staying, *going], rescue)
        items += _runs(store, repository, staying, rescue)
        items += _checks(store, keep_last)
        items += _half_copied(local.parent)
    else:
        notes.append("MLflow is a server: its administrator removes runs there with `mlflow gc`.")
        staying = versions
    items += _scratch(repository)
    objects, note = _objects(store, repository, staying, tips)
    return Plan((*items, *objects), (*notes, *([note] if note else [])))


def _dispensable(
    store: Store, repository: Path, versions: list[Any], keep_last: int | None
) -> list[Any]:
    """Versions to remove: no alias, no way back leads to them, not among the newest, not of a
    model in the workspace."""
    if keep_last is None:
        return []
    held = {*tracking_needs.aliased(store), *trail.line(trail.read(store))}
    cards = [*repository.glob("models/*/model.json"), *repository.glob("adapted/*/*/model.json")]
    whole = [card.parent for card in cards if card.with_name("model.safetensors").is_file()]
    here = {tracking_record.identity(folder) for folder in whole}
    ours = sorted(
        (version for version in versions if version.name == MODEL),
        key=lambda version: int(version.version),
        reverse=True,
    )
    return [
        version
        for version in ours[keep_last:]
        if str(version.version) not in held and version.tags.get("model_sha256") not in here
    ]


def _version_item(store: Store, version: Any) -> Item:
    return Item("version", str(version.version), _size_at(tracking_needs.location(store, version)))


def _models_of(store: Store, number: str) -> list[Any]:
    """Logged models that were registered as this version, also if that was deleted."""
    return [
        model
        for model in tracking_needs.logged_models(store)
        for version in json.loads(model.tags.get(_VERSIONS, "[]"))
        if version["name"] == MODEL and str(version["version"]) == number
    ]


def _models(store: Store, versions: list[Any], rescue: list[Any]) -> Iterator[Item]:
    """Logged models of this project whose version a person has deleted, but those to rescue."""
    used = " ".join(f"{version.source} {version.model_id}" for version in versions)
    used += " ".join(model.model_id for model in rescue)
    for model in tracking_needs.logged_models(store):
        if model.model_id not in used and _VERSIONS in model.tags:
            yield Item("model", model.model_id, _size_at(model.artifact_location))


def _runs(store: Store, repository: Path, versions: list[Any], rescue: list[Any]) -> Iterator[Item]:
    """Deleted runs, and those without a model that nothing continues; never a version's.

    One that still runs, as MLflow says, has been killed where it has been silent for a week: in a
    container, or on another machine, whose processes nobody sees from here.
    """
    from mlflow.entities import ViewType

    needed = {version.run_id for version in versions} | set(_continued(repository))
    needed |= {model.source_run_id for model in rescue}
    deleted = store.client.search_runs([store.experiment_id], "", ViewType.DELETED_ONLY, 10_000)
    failed = [
        run
        for status in ("FAILED", "KILLED", "RUNNING")
        for run in store.client.search_runs(
            [store.experiment_id], f"attributes.status = '{status}'", max_results=10_000
        )
        if "recorded" in run.data.tags and "model_sha256" not in run.data.tags
        if status != "RUNNING" or _last_heard(store, run) < _old()
    ]
    for found in [*deleted, *failed]:
        if found.info.run_id not in needed:
            yield Item("run", found.info.run_id, _size_at(found.info.artifact_uri))


def _last_heard(store: Store, run: Any) -> float:
    """When the run began or, if that was later, logged an epoch; seconds since 1970."""
    points = [
        point.timestamp
        for name in run.data.metrics
        for point in store.client.get_metric_history(run.info.run_id, name)
    ]
    milliseconds: int = max([run.info.start_time, *points])
    return milliseconds / 1000


def _checks(store: Store, keep_last: int | None) -> Iterator[Item]:
    for run in tracking_drift.dispensable(store, keep_last):
        yield Item("check", run.info.run_id, _size_at(run.info.artifact_uri))


def _half_copied(folder: Path) -> Iterator[Item]:
    """What MLflow leaves where it is killed while it copies an artifact; it lists it nowhere."""
    for path in folder.rglob(f"{HALF_COPIED}*"):
        if path.is_file() and path.stat().st_mtime < _old():
            yield Item("copy", str(path), path.stat().st_size)


def _continued(repository: Path) -> Iterator[str]:
    """Ids of runs that interrupted trainings would go on in; they are short files there."""
    for path in (repository / "scratch").glob("**/*"):
        if path.is_file() and path.stat().st_size == 32:
            yield path.read_text(encoding="utf-8", errors="replace")


def _scratch(repository: Path) -> Iterator[Item]:
    for folder in (repository / "scratch").glob("*"):
        if folder.is_dir() and (folder.suffix == ".done" or _newest(folder) < _old()):
            yield Item("scratch", folder.name, _size(folder))


def _objects(
    store: Store, repository: Path, versions: list[Any], tips: bool
) -> tuple[list[Item], str]:
    """DVC's objects and run-cache entries to remove, and why none, where none may go."""
    folder = lineage_cache.cache_dir(repository)
    if folder is None or not folder.is_dir():
        return [], ""
    if not folder.is_relative_to(repository.resolve()):
        return [], (
            f"DVC's cache ({folder}) lies outside of this repository and other projects may use it:"
            " nothing is removed there."
        )
    cache = lineage_cache.read(folder)
    outs = lineage.data_hashes(repository).values()
    absent = [name for name in outs if name.endswith(".dir") and name not in cache.objects]
    named = lineage_cache.in_workspace(repository) | lineage_cache.in_git(repository, tips)
    named |= tracking_needs.hashes(store, repository, versions)
    needed = lineage_cache.with_contents(cache, named)
    free = {name: size for name, size in cache.objects.items() if name not in needed}
    if absent and free:
        return [], _absent_note(absent)
    entries = [path for path, names in cache.run_entries.items() if names & free.keys()]
    return [
        *(Item("object", name, size) for name, size in sorted(free.items())),
        *(Item("entry", str(path), path.stat().st_size) for path in sorted(entries)),
    ], ""


def _absent_note(absent: list[str]) -> str:
    return (
        f"DVC's cache lacks {len(absent)} folders that dvc.lock names, so what they need cannot be"
        " told: nothing is removed there; `dvc pull`, `dvc repro` or `dvc commit` brings them."
    )


def _size_at(location: str) -> int:
    path = path_of(location)
    return _size(path) if path else 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _newest(folder: Path) -> float:
    return max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])


def _old() -> float:
    return time.time() - _OLD_SECONDS
