"""The audit trail: every promotion, refusal and rollback, as tags of the registered model.

They are tags `event/0001`, `event/0002`, ... with one JSON object each, because tags outlive the
versions that they speak of. Each look at an evaluation set for promotion is a tag
`looks/SHA256/VERSION-EVENT`: of the set, by which version, after which event. Older projects have a
number in `looks/SHA256`, or another word for VERSION-EVENT, and these count too.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from wbc.tracking.store import MODEL, Store

_EVENT: Final = "event/"
_LOOKS: Final = "looks/"
LONGEST: Final = 5000  # characters that a database column of MLflow holds of such a tag
_TRIES: Final = 5
ENTHRONED: Final = ("promote", "force", "moved")  # events that make a version champion


@dataclass(frozen=True)
class Event:
    """What happened. event: promote | force | refuse | rollback | moved (an alias was set by other
    means, noticed at `when`); `version` is whom it is about, `replaces` the champion before ("":
    none); `why` is the person's reason, or the gate's; `verdict` passed | refused: … | "".
    """

    event: str
    version: str
    replaces: str = ""
    who: str = ""
    when: str = ""  # UTC, ISO 8601
    why: str = ""
    set: str = ""
    set_sha256: str = ""
    verdict: str = ""
    scores: dict[str, float] = field(default_factory=dict)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(store: Store) -> list[Event]:
    """All events, the oldest first; what cannot be read as one is passed over."""
    tags = store.client.get_registered_model(MODEL).tags
    return [event for name in _names(tags) if (event := _parse(tags[name]))]


def append(store: Store, event: Event) -> str:
    """Write the event under the next free number; returns the tag's name. Hold the lock.

    Machines that share a server share no lock, so what was written is read again: if another one
    took the same number meanwhile, the next is tried.
    """
    text = _text(event)
    for _ in range(_TRIES):
        names = _names(store.client.get_registered_model(MODEL).tags)
        number = int(names[-1].removeprefix(_EVENT)) + 1 if names else 1
        name = f"{_EVENT}{number:04}"
        store.client.set_registered_model_tag(MODEL, name, text)
        if store.client.get_registered_model(MODEL).tags.get(name) == text:
            return name
    raise RuntimeError("others write to the audit trail all the time")


def remove(store: Store, like: Mapping[str, str]) -> None:
    """Take back the events with these values, whose deed failed."""
    tags = store.client.get_registered_model(MODEL).tags
    for name in _names(tags):
        event = _parse(tags[name])
        if event and all(getattr(event, key) == value for key, value in like.items()):
            store.client.delete_registered_model_tag(MODEL, name)


def look(store: Store, set_sha256: str, version: str) -> int:
    """Count the version's look at the evaluation set; returns how many there are now.

    A tag of its own for each, so that machines without a common lock overwrite no other's look. A
    promotion that was killed before it wrote or said what came of it, and is repeated, is the same
    look: the trail has not gone on.
    """
    prefix = f"{_LOOKS}{set_sha256}"
    last = next(reversed(_names(store.client.get_registered_model(MODEL).tags)), f"{_EVENT}0000")
    name = f"{prefix}/{version}-{last.removeprefix(_EVENT)}"
    store.client.set_registered_model_tag(MODEL, name, now())
    tags: dict[str, str] = store.client.get_registered_model(MODEL).tags
    return int(tags.get(prefix, 0)) + sum(name.startswith(f"{prefix}/") for name in tags)


def line(events: Iterable[Event]) -> list[str]:
    """The champions that a rollback may go back through; the last one is champion now.

    A rollback takes the last one away, so rolling back again goes one further back; those between
    that were deleted, and that it passed over, go with it.
    """
    versions: list[str] = []
    for event in events:
        if event.event in ENTHRONED and event.version:
            versions.append(event.version)
        elif event.event == "rollback":
            before = versions[:-1]
            while event.version in before[:-1] and before[-1] != event.version:
                before.pop()
            versions = before if before[-1:] == [event.version] else [*before, event.version]
    return versions


def way_back(line: Sequence[str], there: Collection[str]) -> tuple[str, list[str]]:
    """Where a rollback along the line of champions goes ("": nowhere), and the versions, not among
    those that are `there`, that it passes over, the nearest first."""
    gone: list[str] = []
    for number in reversed(line[:-1]):
        if number in there and number != line[-1]:
            return number, gone
        if number not in there and number not in (line[-1], *gone):
            gone.append(number)
    return "", gone


def _names(tags: dict[str, Any]) -> list[str]:
    numbered = [n for n in tags if n.startswith(_EVENT) and n.removeprefix(_EVENT).isdecimal()]
    return sorted(numbered, key=lambda name: int(name.removeprefix(_EVENT)))


def _text(event: Event) -> str:
    """JSON within the limit: the longest words are cut, and end in `…` where they were."""
    values = asdict(event)
    while len(text := json.dumps(values, ensure_ascii=False)) > LONGEST:
        longest = max(("why", "verdict", "who"), key=lambda name: len(values[name]))
        values[longest] = values[longest][: len(values[longest]) * 3 // 4] + "…"
    return text


def _parse(text: str) -> Event | None:
    try:
        event = Event(**json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return None
    words = {name: value for name, value in vars(event).items() if name != "scores"}
    numbers = event.scores.values() if isinstance(event.scores, dict) else [None]
    fits = all(isinstance(each, str) for each in words.values()) and all(
        isinstance(each, int | float) for each in numbers
    )
    return event if fits else None
