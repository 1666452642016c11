"""wbc.registry.trail: events in order, within a column's limit, and the way back."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.mlflow_home import new_home
from tests.registry_home import Registry
from wbc.registry import trail
from wbc.registry.trail import Event
from wbc.tracking.store import MODEL


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return Registry(new_home(tmp_path / "home", monkeypatch))


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
    assert [trail.look(store, name) for name in ("a" * 64, "b" * 64, "a" * 64)] == [1, 1, 2]
    store.client.set_registered_model_tag(MODEL, "looks/" + "b" * 64, "5")  # an older project's
    assert trail.look(store, "b" * 64) == 7


def test_no_look_of_another_machine_is_lost(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one looks between this one's reading and writing, on both sides of it."""
    store, write = registry.store, MlflowClient.set_registered_model_tag

    def at_once(client: MlflowClient, *arguments: str) -> None:
        monkeypatch.setattr(MlflowClient, "set_registered_model_tag", write)
        trail.look(store, "a" * 64)
        write(client, *arguments)
        trail.look(store, "a" * 64)

    monkeypatch.setattr(MlflowClient, "set_registered_model_tag", at_once)
    trail.look(store, "a" * 64)
    assert trail.look(store, "a" * 64) == 4


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
