"""Versions and the audit trail as plain tables."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

from wbc.registry import access, champion, trail
from wbc.registry.champion import PREVIOUS
from wbc.registry.evidence import TESTS
from wbc.registry.trail import Event
from wbc.registry.versions import all_versions
from wbc.sources.incoming import clean_name
from wbc.tracking.store import MODEL, Store

_NONE: Final = "-"
_WHY: Final = 100  # characters of a reason


def versions(repository: Path) -> list[str]:
    """Lines of a table of all versions, and below it what is wrong with the champion."""
    with access.opened(repository) as store:
        found = all_versions(store)
        if not found:
            return [f"{MODEL} has no version yet; `dvc repro` trains and registers one."]
        known = store.client.get_registered_model(MODEL).aliases
        head = ["version", "aliases", "architecture", "start", "data", "commit", "val macro-F1",
                "test macro-F1", "set", "drawn"]  # fmt: skip
        rows = [_version(store, version, known) for version in found]
        now = champion.inspect(store)
        notes = [note for note in (now.problem, now.notice) if note]
        return [*table([head, *rows]), *notes]


def history(repository: Path, full: bool = False) -> list[str]:
    """Lines of a table of all events, and below it what is wrong with the champion or
    was moved by other means.

    full: long reasons are not shortened.
    """
    with access.opened(repository) as store:
        events = trail.read(store)
        if not events:
            lines = ["Nothing was promoted yet; `python -m wbc promote` writes the first line."]
        else:
            head = ["", "when (UTC)", "event", "version", "replaces", "set", "who", "why"]
            whole = [_event(number, event) for number, event in enumerate(events, 1)]
            rows = (
                whole
                if full
                else [[*row[:-1], shorten(row[-1], _WHY, placeholder=" …")] for row in whole]
            )
            lines = table([head, *rows])
            if rows != whole:
                lines.append("`python -m wbc history --full` has the reasons in full.")
        now = champion.inspect(store)
        notes = [now.problem, now.notice, _previous_notice(store, events)]
        return [*lines, *(note for note in notes if note)]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell, two spaces apart; the last one may run on.

    Whoever may write to the registry chose the words: control characters become %XX, or they would
    reach the terminal.
    """
    rows = [[clean_name(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _version(store: Store, version: Any, aliases: dict[str, Any]) -> list[str]:
    tags, number = version.tags, str(version.version)
    scores = _scores(store, version)
    test = next((name for name in TESTS if f"{name}/macro_f1" in scores), "")
    own = sorted(alias for alias, holder in aliases.items() if str(holder) == number)
    return [
        number,
        ", ".join(own) or _NONE,
        tags.get("architecture", _NONE),
        tags.get("start", _NONE),
        tags.get("data_sha256", _NONE)[:8],
        tags.get("git.commit", _NONE)[:8],
        _score(scores.get("val/macro_f1")),
        _score(scores.get(f"{test}/macro_f1")),
        test or _NONE,
        {"true": "yes", "false": "no"}.get(tags.get("drawn", ""), _NONE),
    ]


def _scores(store: Store, version: Any) -> dict[str, float]:
    from mlflow.exceptions import MlflowException

    if not version.run_id:
        return {}
    try:
        return dict(store.client.get_run(version.run_id).data.metrics)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}  # the run was deleted for good


def _score(score: float | None) -> str:
    return _NONE if score is None else f"{score:.3f}"


def _event(number: int, event: Event) -> list[str]:
    cells = f"{event.set} {event.set_sha256[:8]}" if event.set else _NONE
    when = event.when.replace("T", " ")[:16]
    why = event.why
    if event.event == "force":
        why = f"{event.why} ({event.verdict})"
    elif event.event == "promote":
        gain = event.scores.get("macro_f1_gain")
        passed = f"macro-F1 {gain:+.3f}" if gain is not None else "above the floor"
        why = f"{event.why} ({passed})" if event.why else passed
    return [
        str(number), when, event.event, event.version, event.replaces or _NONE, cells,
        event.who, why or _NONE,
    ]  # fmt: skip


def _previous_notice(store: Store, events: Sequence[Event]) -> str:
    there = {str(version.version) for version in all_versions(store)}
    expected, gone = trail.way_back(trail.line(events), there)
    found = str(store.client.get_registered_model(MODEL).aliases.get(PREVIOUS, ""))
    if found == expected or (not found and gone):  # the alias went with its version
        return ""
    return (
        f"The alias {PREVIOUS} was moved outside of promote and rollback: it is at"
        f" {found or 'no version'}, the trail says {expected or 'none'}, which is where `rollback`"
        " goes."
    )
