"""The champion: the version that is used. Who it is, and whether it is still there and whole.

Deleting a version silently takes its aliases away, so the registered model also carries a record
of our own, the tag `champion`.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from wbc.errors import UserError
from wbc.registry import loading, trail
from wbc.registry.versions import all_versions
from wbc.tracking.store import MODEL, Store

CHAMPION: Final = "champion"
PREVIOUS: Final = "previous"
RECORD: Final = "champion"  # tag of the registered model: {version, model_sha256, name}


@dataclass(frozen=True)
class Standing:
    """What alias and record say. `version` is the alias's, None where nobody is champion.

    `problem` names a champion that is gone, `notice` one that was set by other means than ours;
    both are "" as a rule, and sentences otherwise.
    """

    version: Any | None
    recorded: str = ""
    problem: str = ""
    notice: str = ""

    @property
    def number(self) -> str:
        return str(self.version.version) if self.version else ""


def check(store: Store) -> Any | None:
    """The champion's version, None where there has never been one.

    Raises:
        UserError: it was deleted, lost its alias or its files, or was changed.
    """
    now = inspect(store)
    if now.problem:
        raise UserError(now.problem)
    return now.version


def check_there(store: Store) -> None:
    """Like `check`, without a look at the files.

    Raises:
        UserError: it was deleted or lost its alias.
    """
    problem = standing(store).problem
    if problem:
        raise UserError(problem)


def inspect(store: Store) -> Standing:
    """Like `check`, with the finding in words; the files of the champion are read."""
    now = standing(store)
    if now.version is None or now.problem:
        return now
    try:
        loading.check_files(store, now.version)
    except loading.Unreadable as reason:
        problem = f"The champion, {name_of(now.version)}, is damaged: {reason}; {_way_out(store)}."
        return Standing(now.version, now.recorded, problem, now.notice)
    return now


def standing(store: Store) -> Standing:
    """What alias and record say, without a look at the files."""
    model = store.client.get_registered_model(MODEL)
    record = _record(model.tags)
    recorded = str(record.get("version", ""))
    versions = {str(version.version): version for version in all_versions(store)}
    holder = versions.get(str(model.aliases.get(CHAMPION, "")))
    if holder is None:
        return Standing(None, recorded, _lost(store, record, recorded in versions))
    number = str(holder.version)
    if number == recorded:
        return Standing(holder, recorded)
    before = f"the trail says {'version ' + recorded if recorded else 'nobody'}"
    notice = f"The alias {CHAMPION} was set outside of promote: it is at version {number}, {before}"
    return Standing(holder, recorded, notice=f"{notice}.")


def write_record(store: Store, version: Any) -> None:
    record = {
        "version": str(version.version),
        "model_sha256": version.tags.get("model_sha256", ""),
        "name": version.tags.get("run_name", ""),
    }
    store.client.set_registered_model_tag(MODEL, RECORD, json.dumps(record))


def name_of(version: Any) -> str:
    """`version 3 (googlenet-1a2b3c4d)`."""
    run_name = version.tags.get("run_name", "")
    return f"version {version.version} ({run_name})" if run_name else f"version {version.version}"


def _lost(store: Store, record: dict[str, str], still_there: bool) -> str:
    if not record:
        return ""
    name = f"version {record['version']} ({record['name']})"
    what = f"lost its alias {CHAMPION} outside of promote" if still_there else "was deleted"
    return f"The champion, {name}, {what}; {_way_out(store)}."


def _way_out(store: Store) -> str:
    there = {str(version.version) for version in all_versions(store)}
    back, _ = trail.way_back(trail.line(trail.read(store)), there)
    command = '`python -m wbc promote --version N --force --reason "…"` makes another one champion'
    return f"`python -m wbc rollback` goes back to version {back}, {command}" if back else command


def _record(tags: dict[str, str]) -> dict[str, str]:
    try:
        record = json.loads(tags.get(RECORD, "{}"))
        return {name: str(record[name]) for name in ("version", "model_sha256", "name")}
    except (ValueError, KeyError, TypeError):
        return {}
