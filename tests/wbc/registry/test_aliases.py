"""wbc.registry.aliases: somebody else meanwhile, and a registry that fails half-way."""

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
from wbc.registry import aliases, promotion
from wbc.registry.trail import Event


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
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


def test_a_database_that_cannot_be_written_is_one_sentence(registry: Registry) -> None:
    _, good = two_champions(registry)
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
        lambda: promote(registry, good),  # its refusal could not be written down
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
    monkeypatch.setattr(processes, "is_dead", lambda _: False)  # as of another container's
    found = []
    while not found or found[-1] == old:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, len(found) + 1)
            aliases.move(store, registry.version(new), event, {new: {"promotion.who": "Ada"}})
        aliases.recover(store)
        found.append(registry.aliases()["champion"])
        if found[-1] == old:
            assert state(registry, new) == before, len(found)
    assert len(found) == 6  # the note, trail, previous, version's tag, champion, the record
    assert registry.aliases() == {"champion": new, "previous": old}
    assert events(registry) == [f"force {old}", f"force {new}"]
    assert registry.tags().keys() == before[1].keys() | {"event/0002"}


def kill_after(patch: pytest.MonkeyPatch, last: int) -> None:
    """The process ends right after its write number `last` to the aliases and tags."""
    from mlflow import MlflowClient

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
        patch.setattr(MlflowClient, name, killing(getattr(MlflowClient, name)))
