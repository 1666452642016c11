"""Moving champion and previous, with the trail and the record: all of it or nothing.

The lock keeps the processes of one machine, or of one shared mlruns/, apart. Machines that share
only a server have no common lock, so the alias is read right before and right after it is written.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from wbc.errors import UserError
from wbc.registry import champion, trail
from wbc.registry.champion import CHAMPION, PREVIOUS, name_of
from wbc.registry.trail import Event
from wbc.registry.versions import all_versions
from wbc.tracking.store import MODEL, Store


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
    with store.lock(), contextlib.ExitStack() as undo:
        _check_unchanged(store, event)
        known = {str(each.version): each for each in all_versions(store)}
        name = trail.append(store, event)
        undo.callback(_quietly, lambda: trail.remove(store, name))
        _restore_later(store, undo)
        previous, _ = trail.way_back(trail.line(trail.read(store)), known)
        _set(store, PREVIOUS, previous)
        champion.write_record(store, version)
        for each in set(tags) & set(known):
            _tag(store, known[each], tags[each], undo)
        _set(store, CHAMPION, number)  # last: until here the registry serves the old one
        undo.pop_all()
    _check_kept(store, number)
    return previous


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


def _restore_later(store: Store, undo: contextlib.ExitStack) -> None:
    model = store.client.get_registered_model(MODEL)
    record, previous = model.tags.get(champion.RECORD), model.aliases.get(PREVIOUS, "")

    def restore() -> None:
        _set(store, PREVIOUS, str(previous))
        if record is None:
            store.client.delete_registered_model_tag(MODEL, champion.RECORD)
        else:
            store.client.set_registered_model_tag(MODEL, champion.RECORD, record)

    undo.callback(_quietly, restore)


def _tag(store: Store, version: Any, texts: Mapping[str, str], undo: contextlib.ExitStack) -> None:
    def restore() -> None:
        for key in texts:
            if key in version.tags:
                store.client.set_model_version_tag(MODEL, version.version, key, version.tags[key])
            else:
                store.client.delete_model_version_tag(MODEL, version.version, key)

    undo.callback(_quietly, restore)
    for key, text in texts.items():
        store.client.set_model_version_tag(MODEL, version.version, key, text)


def _set(store: Store, alias: str, number: str) -> None:
    if number:
        store.client.set_registered_model_alias(MODEL, alias, number)
    elif alias in store.client.get_registered_model(MODEL).aliases:
        store.client.delete_registered_model_alias(MODEL, alias)


def _quietly(deed: Callable[[], None]) -> None:
    with contextlib.suppress(Exception):  # the failure that led here is the one to be told
        deed()
