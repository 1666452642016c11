"""wbc.registry.trail: events in order, within a column's limit, and the way back."""

import json
import re
from typing import Any

import pytest

from tests.registry_home import Registry
from wbc.registry import trail
from wbc.registry.trail import Event
from wbc.tracking.store import MODEL


def test_events_are_numbered_tags_read_in_order(registry: Registry) -> None:
    store = registry.store
    events = [Event("promote", str(number), scores={"gain": 0.5}) for number in range(1, 12)]
    names = [trail.append(store, event) for event in events]
    assert names[0] == "event/0001" and names[-1] == "event/0011"
    store.client.set_registered_model_tag(MODEL, "event/0012", "no JSON")
    assert trail.read(store) == events
    assert json.loads(registry.tags()["event/0002"])["version"] == "2"
    trail.remove(store, {"event": "promote", "version": "11"})
    assert trail.read(store) == events[:-1]


def test_an_event_fits_a_databases_column(registry: Registry) -> None:
    event = Event("force", "1", why="für " * 3000, verdict="refused: " + "x" * 4000, who="Änne")
    name = trail.append(registry.store, event)
    (read,) = trail.read(registry.store)
    assert len(registry.tags()[name]) <= 5000
    assert read.who == "Änne" and read.why.endswith("…") and read.verdict.startswith("refused: ")


def test_looks_are_counted_for_each_set(registry: Registry) -> None:
    store = registry.store
    looks = ("a", "1"), ("b", "1"), ("a", "2")
    assert [trail.look(store, name * 64, version) for name, version in looks] == [1, 1, 2]
    store.client.set_registered_model_tag(MODEL, "looks/" + "b" * 64, "5")  # an older project's
    store.client.set_registered_model_tag(MODEL, "looks/" + "b" * 64 + "/c0ffee", "")  # as well
    assert trail.look(store, "b" * 64, "2") == 8


def test_a_look_whose_outcome_was_never_written_down_is_repeated(registry: Registry) -> None:
    """SIGKILL between the look and its line of the trail, or its promotion."""
    store = registry.store
    assert [trail.look(store, "a" * 64, "1") for _ in range(3)] == [1, 1, 1]
    trail.append(store, Event("refuse", "1"))
    assert [trail.look(store, "a" * 64, "1") for _ in range(2)] == [2, 2]


def test_no_look_of_another_machine_is_lost(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one looks between this one's reading and writing, on both sides of it."""
    store = registry.store
    kind, write = type(store.client), type(store.client).set_registered_model_tag

    def at_once(client: Any, *arguments: str) -> None:
        monkeypatch.setattr(kind, "set_registered_model_tag", write)
        trail.look(store, "a" * 64, "2")
        write(client, *arguments)
        trail.look(store, "a" * 64, "3")

    monkeypatch.setattr(kind, "set_registered_model_tag", at_once)
    trail.look(store, "a" * 64, "1")
    assert trail.look(store, "a" * 64, "4") == 4


@pytest.mark.parametrize(
    ("events", "line"),
    [
        ("", ""),
        ("p1", "1"),
        ("p1 x2 p2 f3", "1 2 3"),
        ("p1 p2 p3 r2", "1 2"),
        ("p1 p2 p3 r2 r1", "1"),
        ("p1 p2 r1 p3 r1", "1"),
        ("p1 p2 p1 r2 r1", "1"),
        ("p1 m4 p5 r4", "1 4"),
        ("f3 f1 f4 f2 r1", "3 1"),  # 4 was gone
        ("p1 p2 p3 p4 r2 r1", "1"),
        ("p1 p2 r7", "1 7"),  # of an older project, to a version that was never promoted
        ("p1 p2 p3 r1 p4", "1 4"),
        ("p3 p1 p3 p2 r3", "3 1 3"),
    ],
)
def test_the_line_of_champions(events: str, line: str) -> None:
    """p promote, f force, m moved, x refuse, r rollback, each with its version."""
    kinds = {"p": "promote", "f": "force", "m": "moved", "x": "refuse", "r": "rollback"}
    read = [Event(kinds[word[0]], word[1:]) for word in events.split()]
    assert trail.line(read) == line.split()


@pytest.mark.parametrize(
    ("line", "there", "target", "gone"),
    [
        ("", "", "", ""),
        ("1", "1", "", ""),
        ("1 2", "1 2", "1", ""),
        ("1 3 2", "1 2", "1", "3"),
        ("1 3 4 3 2", "1 2", "1", "3 4"),
        ("3 1 2 1", "1 3", "3", "2"),  # not to the champion itself
        ("1 2", "2", "", "1"),
    ],
)
def test_the_way_back_passes_over_what_is_gone(
    line: str, there: str, target: str, gone: str
) -> None:
    assert trail.way_back(line.split(), there.split()) == (target, gone.split())


def test_only_numbered_events_count_and_only_those_that_are_meant_are_removed(
    quick: Registry,
) -> None:
    store = quick.store
    kept = [Event("promote", "1", who="Ada"), Event("force", "1", who="Ada", scores={"p": 0.5})]
    for event in kept:
        trail.append(store, event)
    for name in ("event/x", "events/0003", "other"):
        store.client.set_registered_model_tag(
            MODEL, name, json.dumps({"event": "x", "version": "1"})
        )
    store.client.set_registered_model_tag(MODEL, "event/0003", json.dumps({"colour": "red"}))
    assert trail.read(store) == kept
    assert trail.append(store, Event("force", "2")) == "event/0004"
    trail.remove(store, {"event": "force", "version": "1"})
    assert [event.version for event in trail.read(store)] == ["1", "2"]
    assert "event/0003" in quick.tags()  # what nobody can read stays
    assert json.loads(quick.tags()["event/0004"])["why"] == ""


def test_numbers_go_on_after_9999(quick: Registry) -> None:
    text = json.dumps({"event": "promote", "version": "1"})
    for number in ("9999", "10000"):
        quick.store.client.set_registered_model_tag(MODEL, f"event/{number}", text)
    assert trail.append(quick.store, Event("promote", "2")) == "event/10001"
    assert trail.read(quick.store)[-1].version == "2"


@pytest.mark.parametrize("times", [1, 4, 5])
def test_a_number_that_another_machine_took_is_left_to_it(
    quick: Registry, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    store, taken = quick.store, []
    kind, write = type(store.client), type(store.client).set_registered_model_tag

    def overwritten(client: Any, model: str, name: str, text: str) -> None:
        taken.append(name)
        other = json.dumps({"event": "refuse", "version": str(len(taken))})
        write(client, model, name, text if len(taken) > times else other)

    monkeypatch.setattr(kind, "set_registered_model_tag", overwritten)
    if times == 5:
        with pytest.raises(RuntimeError, match=r"^others write to the audit trail all the time$"):
            trail.append(store, Event("force", "9"))
        return
    assert trail.append(store, Event("force", "9")) == f"event/{times + 1:04}"
    versions = [event.version for event in trail.read(store)]
    assert versions == [*map(str, range(1, times + 1)), "9"]


def test_the_longest_words_are_cut_first() -> None:
    event = Event("force", "1", why="w" * 100, verdict="v" * 6000, who="x" * 200)
    cut = json.loads(trail._text(event))
    assert cut["why"] == event.why and cut["who"] == event.who
    assert cut["verdict"] == "v" * 4500 + "…"
    fits = Event("force", "1", why="ä" * 4000)
    assert json.loads(trail._text(fits))["why"] == fits.why and "ä" in trail._text(fits)
    empty = len(trail._text(Event("force", "1")))
    exact = Event("force", "1", who="w" * (5000 - empty))
    assert len(trail._text(exact)) == 5000
    assert len(trail._text(Event("force", "1", who="w" * (5001 - empty)))) < 5000


def test_now_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", trail.now())


def test_a_look_is_a_tag_of_its_own_with_its_time(quick: Registry) -> None:
    trail.append(quick.store, Event("refuse", "1"))
    trail.look(quick.store, "a" * 64, "12")
    ((name, text),) = [(n, t) for n, t in quick.tags().items() if n.startswith("looks/")]
    assert name == f"looks/{'a' * 64}/12-0001" and text.endswith("+00:00")


@pytest.mark.parametrize(
    "changed", [{"when": 7}, {"who": None}, {"version": 1}, {"scores": 7}, {"scores": {"a": "b"}}]
)
def test_an_event_of_other_types_is_passed_over(
    registry: Registry, changed: dict[str, Any]
) -> None:
    trail.append(registry.store, Event("promote", "1", scores={"macro_f1_gain": 0.5}))
    text = json.dumps(json.loads(registry.tags()["event/0001"]) | changed)
    registry.store.client.set_registered_model_tag(MODEL, "event/0002", text)
    registry.store.client.set_registered_model_tag(MODEL, "event/0003", "[" * 4999)
    assert [event.version for event in trail.read(registry.store)] == ["1"]
