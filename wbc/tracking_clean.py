"""`python -m wbc clean`: frees disk in MLflow and DVC together; a plan first, then a question.

Removed are: what a person has deleted in MLflow; runs that ended FAILED or KILLED before they had
a model; models whose version a person has deleted; with `--keep-last N`, versions without an alias
but the newest N; leftovers of work in scratch/; and DVC's objects that neither the workspace, nor
a commit that git knows a way to, nor a version that stays, names. Everything else stays.
"""

import logging
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from wbc import (
    lineage,
    lineage_cache,
    tracking_database,
    tracking_needs,
    tracking_record,
    tracking_store,
)
from wbc.errors import UserError
from wbc.tracking_move import path_of
from wbc.tracking_store import MODEL, Store

log = logging.getLogger(__name__)

_OLD_SECONDS: Final = 7 * 24 * 3600  # a training that nobody has continued for so long
_KINDS: Final = {  # in the plan's order
    "version": "versions of the model without an alias",
    "model": "models whose version is gone",
    "run": "runs deleted in MLflow, or ended without a model",
    "scratch": "interrupted work in scratch/, a week old",
    "object": "DVC objects that nobody needs",
    "entry": "entries of DVC's run cache that name them",
}


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


def run(repository: Path, keep_last: int | None, tips: bool, dry_run: bool, sure: bool) -> None:
    """Show the plan, ask, remove.

    Raises:
        UserError: MLflow, git or DVC failed or are at work, or nobody is there to be asked.
    """
    with tracking_store.in_one_sentence(repository, "clean"):
        store = tracking_store.connect(repository)
        plan = make_plan(store, repository, keep_last, tips)
        show(plan)
        if dry_run or not plan.items:
            return
        if not sure:
            _ask()
        # Anew under the locks: what came to be needed since the plan was shown stays.
        with store.lock(), lineage_cache.alone(repository):
            again = set(make_plan(store, repository, keep_last, tips).items)
            _remove(store, repository, [item for item in plan.items if item in again])


def show(plan: Plan) -> None:
    """A line a kind: number, bytes; versions and runs by name."""
    for note in plan.notes:
        log.info("%s", note)
    if not plan.items:
        log.info("Nothing to remove.")
        return
    for kind, words in _KINDS.items():
        items = plan.of(kind)
        if items:
            log.info("%6d  %10s  %s", len(items), _bytes(sum(i.size for i in items)), words)
        if kind in ("version", "run", "scratch"):
            for item in items:
                log.info("        %10s    %s", _bytes(item.size), item.name)
    log.info("%6d  %10s  in all", len(plan.items), _bytes(sum(i.size for i in plan.items)))


def make_plan(store: Store, repository: Path, keep_last: int | None, tips: bool) -> Plan:
    """Everything that may go; nothing is changed."""
    versions = tracking_needs.all_versions(store)
    notes: list[str] = []
    items: list[Item] = []
    going: list[Any] = []
    local = tracking_database.file_of(tracking_store.uri(repository))
    if local:
        going = _dispensable(store, repository, versions, keep_last)
        items += [_version_item(store, version) for version in going]
        staying = [v for v in versions if v not in going]
        items += _models(store, [*staying, *going])
        items += _runs(store, repository, staying)
    else:
        notes.append("MLflow is a server: its administrator removes runs there with `mlflow gc`.")
        staying = versions
    items += _scratch(repository)
    objects, note = _objects(store, repository, staying, tips)
    return Plan((*items, *objects), (*notes, *([note] if note else [])))


def _dispensable(
    store: Store, repository: Path, versions: list[Any], keep_last: int | None
) -> list[Any]:
    """Versions to remove: no alias, not among the newest, not of a model in the workspace."""
    if keep_last is None:
        return []
    held = set(tracking_needs.aliased(store))
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


def _models(store: Store, versions: list[Any]) -> Iterator[Item]:
    """Logged models of this project whose version a person has deleted, or that are deleted."""
    used = " ".join(f"{version.source} {version.model_id}" for version in versions)
    for model in tracking_needs.logged_models(store):
        if model.model_id not in used and "mlflow.modelVersions" in model.tags:
            yield Item("model", model.model_id, _size_at(model.artifact_location))


def _runs(store: Store, repository: Path, versions: list[Any]) -> Iterator[Item]:
    """Deleted runs, and those without a model that nothing continues; never a version's."""
    from mlflow.entities import ViewType

    needed = {version.run_id for version in versions} | set(_continued(repository))
    deleted = store.client.search_runs([store.experiment_id], "", ViewType.DELETED_ONLY, 10_000)
    ended = "attributes.status = 'FAILED'", "attributes.status = 'KILLED'"
    failed = [
        run
        for query in ended
        for run in store.client.search_runs([store.experiment_id], query, max_results=10_000)
        if "recorded" in run.data.tags and "model_sha256" not in run.data.tags
    ]
    for found in [*deleted, *failed]:
        if found.info.run_id not in needed:
            yield Item("run", found.info.run_id, _size_at(found.info.artifact_uri))


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


def _remove(store: Store, repository: Path, items: Iterable[Item]) -> None:
    """Remove in an order in which an interruption leaves nothing that is named and lost."""
    chosen: dict[str, list[Item]] = {kind: [] for kind in _KINDS}
    for item in items:
        chosen[item.kind].append(item)
    database = tracking_database.file_of(tracking_store.uri(repository))
    if database and (chosen["version"] or chosen["model"] or chosen["run"]):
        with tracking_database.reading(database) as connection:
            kept = tracking_database.backup(connection, database, "before clean")
        log.info("The database as it was is kept in %s.", kept)
    for item in chosen["version"]:
        tracking_needs.remove_version(store, item.name)
    for item in chosen["model"]:
        tracking_needs.remove_model(store, item.name)
    for item in chosen["run"]:
        tracking_needs.remove_run(store, item.name)
    for item in chosen["scratch"]:
        _remove_scratch(repository / "scratch" / item.name)
    for item in chosen["entry"]:
        Path(item.name).unlink(missing_ok=True)
    if chosen["object"]:
        lineage_cache.remove(repository, [item.name for item in chosen["object"]])
    removed = [item for items in chosen.values() for item in items]
    log.info("Removed: %s.", _bytes(sum(item.size for item in removed)))


def _remove_scratch(folder: Path) -> None:
    lock = FileLock(folder.with_suffix(".lock"), timeout=0)
    try:
        with lock:
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout:
        log.info("scratch/%s is in use and stays.", folder.name)


def _ask() -> None:
    if not sys.stdin.isatty():
        raise UserError(
            "Nobody is there to be asked whether to remove this; type `python -m wbc clean --yes`"
            " to do so without a question, or --dry-run to look only."
        )
    if input("Remove these for good? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError("Nothing was removed.")


def _size_at(location: str) -> int:
    path = path_of(location)
    return _size(path) if path else 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _newest(folder: Path) -> float:
    return max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])


def _old() -> float:
    return time.time() - _OLD_SECONDS


def _bytes(number: int) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000  # type: ignore[assignment]
    return f"{number:.1f} GB"
