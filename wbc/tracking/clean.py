"""`python -m wbc clean`: frees disk in MLflow and DVC together; a plan first, then a question.

Removed are: what a person has deleted in MLflow; runs that ended FAILED or KILLED before they had a
model, or have been silent for a week; models whose version a person has deleted; with
`--keep-last N`, versions but the newest N that have no alias and that no rollback leads to, and
checks of `drift` older than a year but each model's newest N; leftovers of work in scratch/ and of
artifacts that MLflow was copying; and DVC's objects that neither the workspace, nor a commit that
git knows a way to, nor a version that stays, names. Everything else stays.
"""

import logging
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from wbc.errors import UserError
from wbc.lineage import cache as lineage_cache
from wbc.tracking import database as tracking_database
from wbc.tracking import needs as tracking_needs
from wbc.tracking import store as tracking_store
from wbc.tracking.plan import Item, Plan, make_plan
from wbc.tracking.store import Store

log = logging.getLogger(__name__)

_KINDS: Final = {  # in the plan's order
    "version": "versions of the model without an alias",
    "model": "models whose version is gone",
    "run": "runs deleted in MLflow, ended without a model, or silent for a week",
    "check": "checks of drift that were deleted, ended early, or are old",
    "scratch": "interrupted work in scratch/, a week old",
    "copy": "half copies of artifacts that a kill left, a week old",
    "object": "DVC objects that nobody needs",
    "entry": "entries of DVC's run cache that name them",
}


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
        if kind in ("version", "run", "check", "scratch"):
            for item in items:
                log.info("        %10s    %s", _bytes(item.size), item.name)
    log.info("%6d  %10s  in all", len(plan.items), _bytes(sum(i.size for i in plan.items)))


def _remove(store: Store, repository: Path, items: Iterable[Item]) -> None:
    """Remove in an order in which an interruption leaves nothing that is named and lost."""
    chosen: dict[str, list[Item]] = {kind: [] for kind in _KINDS}
    for item in items:
        chosen[item.kind].append(item)
    database = tracking_database.file_of(tracking_store.uri(repository))
    runs = [*chosen["run"], *chosen["check"]]
    if database and (chosen["version"] or chosen["model"] or runs):
        with tracking_database.reading(database) as connection:
            kept = tracking_database.backup(connection, database, "before clean")
        log.info("The database as it was is kept in %s.", kept)
    for item in chosen["version"]:
        tracking_needs.remove_version(store, item.name)
    for item in chosen["model"]:
        tracking_needs.remove_model(store, item.name)
    for item in runs:
        tracking_needs.remove_run(store, item.name)
    for item in chosen["scratch"]:
        _remove_scratch(repository / "scratch" / item.name)
    for item in [*chosen["entry"], *chosen["copy"]]:
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


def _bytes(number: int) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000  # type: ignore[assignment]
    return f"{number:.1f} GB"
