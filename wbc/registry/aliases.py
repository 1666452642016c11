"""Moving champion and previous, with the trail and the record: all of it or nothing.

The lock keeps the processes of one machine, or of one shared mlruns/, apart. Machines that share
only a server have no common lock, so the alias is read right before and right after it is written.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from wbc import processes
from wbc.errors import UserError
from wbc.registry import champion, trail
from wbc.registry.champion import CHAMPION, PREVIOUS, name_of
from wbc.registry.trail import Event
from wbc.registry.versions import all_versions
from wbc.tracking import log as tracking_log
from wbc.tracking.store import MODEL, Store

_BEGUN: Final = "champion.moving"  # tag of the registered model while the aliases move
_KNOWN_BY: Final = ("event", "version", "when")  # tell one event from the others


def move(
    store: Store,
    version: Any,
    event: Event,
    tags: Mapping[str, Mapping[str, str]],
) -> str:
    """Make `version` champion in place of `event.replaces` ("": nobody) and write it down.

    The alias previous goes to where a rollback would go now, and away where none can.
    Returns that version, or "".

    tags: of versions, {number: {name: text}}; versions that are gone are passed over.

    Raises:
        UserError: somebody else became champion meanwhile.
    """
    number = str(version.version)
    with store.lock():
        _check_unchanged(store, event)
        known = {str(each.version): each for each in all_versions(store)}
        tags = {each: texts for each, texts in tags.items() if each in known}
        begun = _begin(store, number, event, tags, known)
        try:
            trail.append(store, event)
            previous, _ = trail.way_back(trail.line(trail.read(store)), known)
            _set(store, PREVIOUS, previous)
            for each, texts in tags.items():
                for key, text in texts.items():
                    store.client.set_model_version_tag(MODEL, each, key, text)
            _set(store, CHAMPION, number)  # late: until here the registry serves the old one
            champion.write_record(store, version)
        except BaseException:
            _undo(store, begun)
            raise
        _quietly(lambda: store.client.delete_registered_model_tag(MODEL, _BEGUN))
    _check_kept(store, number)
    return previous


def recover(store: Store) -> None:
    """Undo a move over which a process was killed; one that was done holds.

    With a server only one of this machine's.
    """
    if _BEGUN not in store.client.get_registered_model(MODEL).tags:
        return
    with store.lock():
        text = store.client.get_registered_model(MODEL).tags.get(_BEGUN)
        begun = json.loads(text) if text else {}
        if not begun or not tracking_log.is_gone(store, begun["process"]):
            return
        now = champion.standing(store)
        if now.number == begun["number"] == now.recorded:
            store.client.delete_registered_model_tag(MODEL, _BEGUN)
        else:
            _undo(store, begun)


def acknowledge(store: Store, now: champion.Standing, event: Event) -> None:
    """Write down that the champion was set by other means, so that the trail is whole again."""
    with store.lock():
        if champion.standing(store).number == now.number:
            trail.append(store, event)
            champion.write_record(store, now.version)


def _check_unchanged(store: Store, event: Event) -> None:
    now, expected = champion.standing(store), event.replaces
    if now.number == expected:
        return
    last = next((e for e in reversed(trail.read(store)) if e.version == now.number), None)
    by = f", set by {last.who} at {last.when}" if last and now.version else ""
    who = f"{name_of(now.version)} became champion" if now.version else "the champion went away"
    seen = f"was looking at version {expected}" if expected else "saw no champion"
    counted = f" (only its look at {event.set} was counted)" if event.scores else ""
    raise UserError(
        f"{who[0].upper()}{who[1:]} while this command {seen}{by}; nothing was changed, run it"
        f" again to compare with the new state{counted}."
    )


def _check_kept(store: Store, number: str) -> None:
    now = champion.standing(store).number
    if now != number:
        raise UserError(
            f"Version {number} was made champion, but another machine made version"
            f" {now or 'none'} champion in the same moment, which holds;"
            " `python -m wbc history` shows both."
        )


def _begin(
    store: Store,
    number: str,
    event: Event,
    tags: Mapping[str, Mapping[str, str]],
    known: Mapping[str, Any],
) -> dict[str, Any]:
    """Write down what a kill would leave half-done, and how it was before."""
    model = store.client.get_registered_model(MODEL)
    begun = {
        "process": processes.own_name(),
        "number": number,
        "champion": str(model.aliases.get(CHAMPION, "")),
        "previous": str(model.aliases.get(PREVIOUS, "")),
        "record": model.tags.get(champion.RECORD),
        "event": {key: value for key, value in asdict(event).items() if key in _KNOWN_BY},
        "tags": {
            each: {key: known[each].tags.get(key) for key in texts} for each, texts in tags.items()
        },
    }
    if len(json.dumps(begun)) > trail.LONGEST:  # what the versions' tags said before is lost
        begun["tags"] = {each: dict.fromkeys(texts) for each, texts in tags.items()}
    store.client.set_registered_model_tag(MODEL, _BEGUN, json.dumps(begun))
    return begun


def _undo(store: Store, begun: Mapping[str, Any]) -> None:
    """Everything as `_begin` found it; as much of it as the registry lets be written."""
    client = store.client

    def record() -> None:
        if begun["record"] is None:
            client.delete_registered_model_tag(MODEL, champion.RECORD)
        else:
            client.set_registered_model_tag(MODEL, champion.RECORD, begun["record"])

    def tag(number: str, key: str, text: str | None) -> None:
        if text is None:
            client.delete_model_version_tag(MODEL, number, key)
        else:
            client.set_model_version_tag(MODEL, number, key, text)

    if champion.standing(store).number == begun["number"]:
        _quietly(lambda: _set(store, CHAMPION, begun["champion"]))
    _quietly(record)
    _quietly(lambda: _set(store, PREVIOUS, begun["previous"]))
    for number, texts in begun["tags"].items():
        for key, text in texts.items():
            _quietly(partial(tag, number, key, text))
    _quietly(lambda: trail.remove(store, begun["event"]))
    _quietly(lambda: client.delete_registered_model_tag(MODEL, _BEGUN))


def _set(store: Store, alias: str, number: str) -> None:
    if number:
        store.client.set_registered_model_alias(MODEL, alias, number)
    elif alias in store.client.get_registered_model(MODEL).aliases:
        store.client.delete_registered_model_alias(MODEL, alias)


def _quietly(deed: Callable[[], None]) -> None:
    with contextlib.suppress(Exception):  # the failure that led here is the one to be told
        deed()
