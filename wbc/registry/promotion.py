"""Promotion and rollback: a person's acts, each with a gate and a line in the audit trail.

Both end in an Outcome, a paragraph that says what was done or refused and why; what cannot be
done at all (an unknown version, a registry that fails) is a UserError.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from wbc.errors import UserError
from wbc.lineage import state as lineage
from wbc.params import Promotion
from wbc.registry import access, aliases, champion, evidence, gate, loading, trail
from wbc.registry.champion import CHAMPION, Standing, name_of
from wbc.registry.evidence import MissingEvidence
from wbc.registry.gate import Verdict
from wbc.registry.loading import Unreadable
from wbc.registry.trail import Event
from wbc.registry.versions import all_versions
from wbc.tracking.store import Store


@dataclass(frozen=True)
class Request:
    """What a person asks for: a version by its number, or else by its alias."""

    version: int | None
    alias: str
    reason: str
    force: bool


@dataclass(frozen=True)
class Outcome:
    """`paragraph` says what was done, or why not."""

    done: bool
    paragraph: str


def promote(repository: Path, rules: Promotion, request: Request) -> Outcome:
    """Make a version champion if it passes the gate, or if a person forces it with a reason.

    Raises:
        UserError: there is no such version, the champion is gone, or the registry fails.
    """
    with access.opened(repository) as store:
        candidate = access.find(store, request.version, request.alias)
        access.refuse_foreign(candidate)
        now = _champion(store, repository, may_be_gone=request.force)
        event = _event(repository, "promote", candidate, now, request.reason)
        if str(candidate.version) == now.number:
            return _refused(store, candidate, Verdict(("it is champion already",)))
        predictions, missing = _predictions(store, candidate)
        cells = loading.some_cells(predictions, repository / "data" / "raw")
        try:
            tried = loading.check(store, candidate, cells)
        except Unreadable as reason:
            return _refuse(store, candidate, event, Verdict((str(reason),)))
        verdict = missing or _judge(store, candidate, now, predictions, rules)
        if not verdict.passed and not request.force:
            return _refuse(store, candidate, event, verdict, tried)
        return _enthrone(store, candidate, now, event, verdict, tried)


def rollback(repository: Path, reason: str) -> Outcome:
    """Go back to the champion before; again, to the one before that.

    Raises:
        UserError: there is none before that is still there, or the registry fails.
    """
    with access.opened(repository) as store:
        now = _champion(store, repository, may_be_gone=True)
        line = trail.line(trail.read(store))
        if not line:
            raise UserError("There is no champion yet; `python -m wbc promote` makes one.")
        target, gone = _champion_before(store, line)
        event = _event(repository, "rollback", target, now, reason)
        predictions, _ = _predictions(store, target)
        cells = loading.some_cells(predictions, repository / "data" / "raw")
        try:
            tried = loading.check(store, target, cells)
        except Unreadable as unreadable:
            return _refuse(store, target, event, Verdict((str(unreadable),)))
        before = aliases.move(store, target, event, {line[-1]: _tags("rolled_back", event)})
        left = name_of(now.version) if now.version else f"version {line[-1]}, which is gone"
        return Outcome(
            True,
            f"{_capital(name_of(target))} is champion again, instead of {left}: {tried}."
            + (f" {_are_gone(gone)}, so back to version {target.version}." if gone else "")
            + (f" Before it was version {before}, which is now previous." if before else ""),
        )


def _champion(store: Store, repository: Path, may_be_gone: bool) -> Standing:
    """Who is champion; a change by other means gets its line in the trail first."""
    now = champion.inspect(store)
    if now.problem and not may_be_gone:
        raise UserError(now.problem)
    if now.notice and now.version:
        who = lineage.user_name(repository)
        moved = Event("moved", now.number, now.recorded, f"noticed by {who}", trail.now())
        aliases.acknowledge(store, now, replace(moved, why=now.notice))
    return now


def _judge(
    store: Store, candidate: Any, now: Standing, predictions: pd.DataFrame, rules: Promotion
) -> Verdict:
    """The gate's verdict; a look at the evaluation set is counted as soon as scores are read."""
    holder = now.version
    if holder and _is_drawn(candidate) and not _is_drawn(holder):
        return Verdict(("it learned from drawn cells, and the champion from real ones",))
    if now.problem:
        return Verdict(("there is no sound champion to compare with",))
    try:
        new = evidence.choose(predictions, rules.set)
    except MissingEvidence as reason:
        return Verdict((str(reason),))
    if holder is None or (_is_drawn(holder) and not _is_drawn(candidate)):
        return gate.first(new, _look(store, new.sha256, candidate), rules)
    try:
        old = evidence.same_set(evidence.read(store, holder), new)
    except MissingEvidence as reason:
        return Verdict((f"it cannot be compared with the champion, {name_of(holder)}: {reason}",))
    if old is None:
        return Verdict(
            (
                f"it was evaluated on other cells than the champion, {name_of(holder)}, which never"
                f" saw its {new.name} (SHA-256 {new.sha256[:8]}); evaluate both on the same data",
            ),
            set=new.name,
            set_sha256=new.sha256,
        )
    return gate.against(new, old, _look(store, new.sha256, candidate), rules)


def _look(store: Store, set_sha256: str, candidate: Any) -> int:
    with store.lock():
        return trail.look(store, set_sha256, str(candidate.version))


def _refuse(store: Store, version: Any, event: Event, verdict: Verdict, tried: str = "") -> Outcome:
    """Write the refusal down as well; whatever was to be done, `event` becomes a refusal of it."""
    why = "; ".join(verdict.reasons)
    action = "rollback" if event.event == "rollback" else "promote"
    refused = replace(event, event="refuse", why=f"{action}: {why}")
    with store.lock():
        trail.append(store, _with_verdict(refused, verdict))
    return _refused(store, version, verdict, tried)


def _refused(store: Store, version: Any, verdict: Verdict, tried: str = "") -> Outcome:
    why = "; ".join(verdict.reasons)
    now = champion.standing(store)
    name = _capital(name_of(version))
    holder = (
        f"{_capital(name_of(now.version))} stays {CHAMPION}"
        if now.version
        else f"Nobody is {CHAMPION}"
    )
    stays = "" if now.number == str(version.version) else f" {holder}."
    checked = f" {_capital(tried)}." if tried else ""
    facts = f" {verdict.facts}" if verdict.facts else ""
    force = '; `promote --force --reason "…"` overrules this' if tried else ""
    remedy = f" `python -m wbc list` shows the versions that there are{force}."
    return Outcome(
        False, f"{name} does not become {CHAMPION}: {why}.{stays}{checked}{facts}{remedy}"
    )


def _enthrone(
    store: Store, candidate: Any, now: Standing, event: Event, verdict: Verdict, tried: str
) -> Outcome:
    forced = not verdict.passed
    event = _with_verdict(replace(event, event="force" if forced else "promote"), verdict)
    number = str(candidate.version)
    tags = _tags("promotion", event) | {
        "promotion.verdict": f"{verdict.words}. {verdict.facts}".strip(),
        "promotion.scores": json.dumps(verdict.scores),
        "promotion.replaces": event.replaces or "nobody",
    }
    aliases.move(store, candidate, event, {number: tags})
    instead = f", instead of {name_of(now.version)}" if now.version else ", the first one"
    name = f"{_capital(name_of(candidate))} is {CHAMPION} now{instead}"
    how = f" by force ({event.why}), although {'; '.join(verdict.reasons)}" if forced else ""
    facts = f" {verdict.facts}" if verdict.facts else ""
    return Outcome(True, f"{name}{how}. {_capital(tried)}.{facts}")


def _predictions(store: Store, version: Any) -> tuple[Any, Verdict | None]:
    """The recorded answers, or None and the verdict of a version that has none."""
    try:
        return evidence.read(store, version), None
    except MissingEvidence as reason:
        return None, Verdict((str(reason),))


def _champion_before(store: Store, line: Sequence[str]) -> tuple[Any, list[str]]:
    """The champion before that is still there, and the numbers of those between that are gone."""
    found = {str(version.version): version for version in all_versions(store)}
    number, gone = trail.way_back(line, found)
    if number:
        return found[number], gone
    none = _are_gone(gone) if gone else f"Version {line[-1]} was the first champion"
    raise UserError(
        f"{none}, so there is no champion to go back to;"
        ' `python -m wbc promote --version N --force --reason "…"` sets another.'
    )


def _are_gone(numbers: Sequence[str]) -> str:
    if len(numbers) == 1:
        return f"Version {numbers[0]} is gone"
    return f"Versions {', '.join(numbers[:-1])} and {numbers[-1]} are gone"


def _event(repository: Path, kind: str, version: Any, now: Standing, why: str) -> Event:
    who = lineage.user_name(repository)
    return Event(kind, str(version.version), now.number, who, trail.now(), why)


def _with_verdict(event: Event, verdict: Verdict) -> Event:
    return replace(
        event,
        set=verdict.set,
        set_sha256=verdict.set_sha256,
        verdict=verdict.words,
        scores=verdict.scores,
    )


def _tags(prefix: str, event: Event) -> dict[str, str]:
    return {
        f"{prefix}.who": event.who,
        f"{prefix}.when": event.when,
        f"{prefix}.why": event.why or "no reason was given",
    }


def _is_drawn(version: Any) -> bool:
    return bool(version.tags.get("drawn") == "true")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
