"""wbc.registry.aliases: somebody else meanwhile, and a registry that fails half-way."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.registry_home import (
    Registry,
    answers,
    events,
    new_registry,
    promote,
    state,
    two_champions,
)  # fmt: skip
from wbc import processes
from wbc.errors import UserError
from wbc.registry import aliases, champion, promotion
from wbc.registry.trail import Event
from wbc.tracking.store import MODEL


@pytest.fixture
def in_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return new_registry(tmp_path / "home", monkeypatch)


def test_whoever_comes_second_is_told_and_changes_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, good = two_champions(registry)
    mine, others = registry.add(answers(0)), registry.add(answers(1))
    judge = promotion._judge

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(promotion, "_judge", judge)
        promote(registry, others, "quicker", force=True)
        return judge(*arguments)

    monkeypatch.setattr(promotion, "_judge", meanwhile)
    with pytest.raises(UserError) as error:
        promote(registry, mine, "slower", force=True)
    assert "Version 4 (resnet18-" in str(error.value)
    assert "became champion while this command was looking at version 2, set by Ada at" in str(
        error.value
    )
    assert str(error.value).endswith("the new state (only its look at test_a was counted).")
    assert registry.aliases() == {"champion": others, "previous": good}
    assert events(registry)[-1] == "force 4"


def test_another_machine_in_the_same_moment_is_noticed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, _ = two_champions(registry)
    mine = registry.add(answers(0))
    write = aliases._set

    def and_another(store: Any, alias: str, number: str) -> None:
        write(store, alias, number)
        if alias == "champion":
            write(store, alias, bad)

    monkeypatch.setattr(aliases, "_set", and_another)
    with pytest.raises(UserError, match="another machine made version 1 champion in the same mom"):
        promote(registry, mine, "x", force=True)


@pytest.mark.parametrize("alias", ["champion", "previous"])
def test_a_registry_that_fails_half_way_is_as_it_was(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    two_champions(registry)
    new = registry.add(answers(0))
    before = state(registry, new)
    write = aliases._set

    def breaks(store: Any, name: str, number: str) -> None:
        if name == alias:
            monkeypatch.setattr(aliases, "_set", write)
            raise OSError("the server is gone")
        write(store, name, number)

    monkeypatch.setattr(aliases, "_set", breaks)
    with pytest.raises(UserError, match=r"failed \(the server is gone\), so nothing was changed"):
        promote(registry, new, "x", force=True)
    assert state(registry, new) == before


def test_a_database_that_cannot_be_written_is_one_sentence(in_mlflow: Registry) -> None:
    registry = in_mlflow
    bad, _ = two_champions(registry)
    new = registry.add(answers(0))
    before = state(registry, new)
    with sqlite3.connect(registry.home / "mlruns" / "mlflow.db") as database:
        for table in ("registered_model_tags", "registered_model_aliases"):
            for deed in ("INSERT", "UPDATE", "DELETE"):
                database.execute(
                    f"CREATE TRIGGER no_{deed}_{table} BEFORE {deed} ON {table}"
                    " BEGIN SELECT RAISE(ABORT, 'attempt to write a readonly database'); END"
                )
    deeds = (
        lambda: promote(registry, new, "x", force=True),
        lambda: promote(registry, bad),  # its refusal could not be written down
        lambda: promotion.rollback(registry.home, ""),
    )
    for deed in deeds:
        with pytest.raises(UserError, match=r"failed \(.*readonly database.*nothing was changed"):
            deed()
    assert state(registry, new) == before


class Killed(BaseException):
    """As SIGKILL: nothing is put in order."""


def test_a_promotion_that_was_killed_anywhere_is_undone_or_whole(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, old, new = registry.store, registry.add(None), registry.add(None)
    aliases.move(store, registry.version(old), Event("force", old, "", "Ada", "today"), {})
    before = state(registry, new)
    event = Event("force", new, old, "Ada", "now", "x")
    # In a local database nobody need be known as dead, as a process of another container is not.
    in_memory = store.client.tracking_uri == "memory"
    monkeypatch.setattr(processes, "is_dead", lambda _: in_memory)
    found = []
    while not found or found[-1] == old:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, type(store.client), len(found) + 1)
            aliases.move(store, registry.version(new), event, {new: {"promotion.who": "Ada"}})
        aliases.recover(store)
        found.append(registry.aliases()["champion"])
        if found[-1] == old:
            assert state(registry, new) == before, len(found)
    assert len(found) == 6  # the note, trail, previous, version's tag, champion, the record
    assert registry.aliases() == {"champion": new, "previous": old}
    assert events(registry) == [f"force {old}", f"force {new}"]
    assert registry.tags().keys() == before[1].keys() | {"event/0002"}


def kill_after(patch: pytest.MonkeyPatch, client: type, last: int) -> None:
    """The process ends right after its write number `last` to the aliases and tags."""
    done = []
    patch.setattr(aliases, "_undo", lambda *_: None)

    def killing(real: Any) -> Any:
        def write(*words: Any) -> None:
            real(*words)
            done.append(words)
            if len(done) == last:
                raise Killed

        return write

    for name in ("set_registered_model_tag", "set_registered_model_alias", "set_model_version_tag"):
        patch.setattr(client, name, killing(getattr(client, name)))


def move(registry: Registry, number: str, before: str, **tags: Any) -> str:
    event = Event("force", number, before, "Ada", "today", "x")
    return aliases.move(registry.store, registry.version(number), event, tags)


def test_a_move_writes_everything_and_says_where_a_rollback_would_go(quick: Registry) -> None:
    one, two, three = (quick.add(None) for _ in range(3))
    assert move(quick, one, "", **{one: {"a": "1"}, "9": {"a": "1"}}) == ""
    assert quick.aliases() == {"champion": "1"}
    assert quick.version(one).tags["a"] == "1"
    assert move(quick, two, one) == one
    assert quick.aliases() == {"champion": two, "previous": one}
    record = json.loads(quick.tags()["champion"])
    tags = quick.version(two).tags
    assert record == {
        "version": two, "model_sha256": tags["model_sha256"], "name": tags["run_name"],
    }  # fmt: skip
    assert "champion.moving" not in quick.tags()
    quick.store.client.delete_model_version(MODEL, one)
    assert move(quick, three, two) == two
    quick.store.client.delete_model_version(MODEL, two)
    back = Event("rollback", three, three, "Ada", "now")
    assert aliases.move(quick.store, quick.version(three), back, {}) == ""
    assert quick.aliases() == {"champion": three}  # previous is taken away where none can be
    assert events(quick) == ["force 1", "force 2", "force 3", "rollback 3"]


@pytest.mark.parametrize("is_first", [False, True])
def test_a_failed_move_gives_every_tag_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    """It fails after each of its writes in turn."""
    registry = new_registry(tmp_path / "home", monkeypatch, "in_memory")
    one, two = registry.add(None), registry.add(None, kept="old")
    if not is_first:
        move(registry, one, "")
    replaces = "" if is_first else one
    writes = 6 if is_first else 7  # the note, trail, previous, two tags, champion, record
    client = type(registry.store.client)
    names = ("set_registered_model_tag", "set_registered_model_alias", "set_model_version_tag")
    before = state(registry, two)
    for last in range(1, writes + 2):
        with monkeypatch.context() as patch:
            done: list[str] = []

            def failing(real: Any, name: str, done: list[str] = done, last: int = last) -> Any:
                def write(*words: Any) -> None:
                    real(*words)
                    done.append(name)
                    if len(done) == last:
                        raise OSError("the server is gone")

                return write

            for name in names:
                patch.setattr(client, name, failing(getattr(client, name), name))
            if last > writes:
                move(registry, two, replaces, **{two: {"kept": "new", "made": "new"}})
                break
            with pytest.raises(OSError, match="the server is gone"):
                move(registry, two, replaces, **{two: {"kept": "new", "made": "new"}})
        if last == 1:  # only the note itself may be there, and says that nothing was begun
            monkeypatch.setattr(processes, "is_dead", lambda name: name == processes.own_name())
            aliases.recover(registry.store)
        assert state(registry, two) == before, last
    assert registry.version(two).tags["kept"] == "new"


def test_what_is_noted_before_a_move(quick: Registry) -> None:
    one, two = quick.add(None, kept="old"), quick.add(None)
    event = Event("force", two, one, "Ada", "today", "x")
    known = {number: quick.version(number) for number in (one, two)}
    begun = aliases._begin(quick.store, two, event, {one: {"kept": "x", "made": "y"}}, known)
    assert begun == json.loads(quick.tags()["champion.moving"])
    assert begun == {
        "process": processes.own_name(), "number": two, "champion": "", "previous": "",
        "record": None, "event": {"event": "force", "version": two, "when": "today"},
        "tags": {one: {"kept": "old", "made": None}},
    }  # fmt: skip
    quick.store.client.set_model_version_tag(MODEL, one, "kept", "w" * 4900)
    quick.store.client.set_registered_model_alias(MODEL, "champion", one)
    quick.store.client.set_registered_model_alias(MODEL, "previous", two)
    quick.store.client.set_registered_model_tag(MODEL, "champion", "record")
    known = {number: quick.version(number) for number in (one, two)}
    begun = aliases._begin(quick.store, two, event, {one: {"kept": "x"}}, known)
    assert begun["tags"] == {one: {"kept": None}}  # too long for the database's column
    assert (begun["champion"], begun["previous"], begun["record"]) == (one, two, "record")


def test_only_moves_of_the_dead_are_undone(
    quick: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = quick.add(None), quick.add(None)
    move(quick, one, "")
    store = quick.store
    aliases.recover(store)  # nothing was begun
    event = Event("force", two, one, "Ada", "today", "x")
    known = {number: quick.version(number) for number in (one, two)}
    aliases._begin(store, two, event, {}, known)
    store.client.set_registered_model_alias(MODEL, "champion", two)
    monkeypatch.setattr(processes, "is_dead", lambda name: False)
    aliases.recover(store)
    assert quick.aliases() == {"champion": two} and "champion.moving" in quick.tags()
    monkeypatch.setattr(processes, "is_dead", lambda name: name == processes.own_name())
    aliases.recover(store)
    assert quick.aliases() == {"champion": one} and "champion.moving" not in quick.tags()


def test_a_move_of_the_dead_does_not_touch_a_later_champion(
    quick: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = (quick.add(None) for _ in range(3))
    move(quick, one, "")
    known = {number: quick.version(number) for number in (one, two)}
    aliases._begin(quick.store, two, Event("force", two, one), {}, known)
    quick.store.client.set_registered_model_alias(MODEL, "champion", three)
    monkeypatch.setattr(processes, "is_dead", lambda name: True)
    aliases.recover(quick.store)
    assert quick.aliases() == {"champion": three}


def test_who_came_first_is_said_as_it_was(quick: Registry) -> None:
    one, two = quick.add(None), quick.add(None)

    def said(event: Event) -> str:
        with pytest.raises(UserError) as error:
            aliases.move(quick.store, quick.version(two), event, {})
        return str(error.value)

    end = "; nothing was changed, run it again to compare with the new state"
    assert said(Event("promote", two, one)) == (
        f"The champion went away while this command was looking at version 1{end}."
    )
    move(quick, one, "")
    name = quick.version(one).tags["run_name"]
    assert said(Event("promote", two, "", scores={"p": 1.0}, set="test_a")) == (
        f"Version 1 ({name}) became champion while this command saw no champion, set by Ada at"
        f" today{end} (only its look at test_a was counted)."
    )
    quick.store.client.set_registered_model_alias(MODEL, "champion", two)
    assert "saw no champion; nothing" in said(Event("promote", two, ""))


def test_a_champion_set_by_hand_is_acknowledged_unless_it_changed_again(
    quick: Registry,
) -> None:
    one, two = quick.add(None), quick.add(None)
    move(quick, one, "")
    quick.store.client.set_registered_model_alias(MODEL, "champion", two)
    now = champion.standing(quick.store)
    moved = Event("moved", two, one)
    quick.store.client.set_registered_model_alias(MODEL, "champion", one)
    aliases.acknowledge(quick.store, now, moved)
    assert events(quick) == ["force 1"]
    quick.store.client.set_registered_model_alias(MODEL, "champion", two)
    aliases.acknowledge(quick.store, now, moved)
    assert events(quick) == ["force 1", "moved 2"]
    assert champion.standing(quick.store).recorded == two
    with pytest.raises(UserError) as error:
        aliases._check_kept(quick.store, one)
    assert str(error.value) == (
        "Version 1 was made champion, but another machine made version 2 champion in the same"
        " moment, which holds; `python -m wbc history` shows both."
    )
    quick.store.client.delete_registered_model_alias(MODEL, "champion")
    with pytest.raises(UserError, match="made version none champion"):
        aliases._check_kept(quick.store, one)
