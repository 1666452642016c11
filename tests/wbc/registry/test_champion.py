"""wbc.registry.champion: one that is gone, damaged or set by hand is noticed and named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.registry_home import RULES, WHERE, Registry, answers, new_registry
from wbc.errors import UserError
from wbc.registry import champion, listing, loading, promotion
from wbc.registry.loading import Unreadable
from wbc.registry.promotion import Request
from wbc.tracking import adapt as tracking_adapt
from wbc.tracking.store import MODEL

REFERENCE = "models:/wbc-classifier@champion"


@pytest.fixture(params=WHERE)
def registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Registry:
    made = new_registry(tmp_path / "home", monkeypatch, request.param)
    for wrong in (4, 2):
        number = int(made.add(answers(wrong)))
        assert promotion.promote(made.home, RULES, Request(number, "", "a test", True)).done
    return made


def adapt(registry: Registry) -> None:
    with tracking_adapt.model_folder(REFERENCE, registry.home):
        pass


def test_a_sound_champion_is_handed_out(registry: Registry) -> None:
    assert str(champion.check(registry.store).version) == "2"
    assert champion.inspect(registry.store).notice == ""


@pytest.mark.parametrize("where", WHERE)
def test_nobody_is_champion_of_an_empty_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    empty = new_registry(tmp_path / "empty", monkeypatch, where)
    assert champion.check(empty.store) is None
    assert listing.versions(empty.home) == [
        "wbc-classifier has no version yet; `dvc repro` trains and registers one."
    ]
    assert listing.history(empty.home)[0].startswith("Nothing was promoted yet; ")


def test_a_deleted_one_is_named_by_whoever_needs_it(registry: Registry) -> None:
    registry.store.client.delete_model_version(MODEL, "2")
    named = (
        r"The champion, version 2 \(resnet18-\w{8}\), was deleted; `python -m wbc rollback` goes"
    )
    for command in (lambda: champion.check(registry.store), lambda: adapt(registry)):
        with pytest.raises(UserError, match=f"{named} back to version 1, `python -m wbc promote"):
            command()
    assert "was deleted" in listing.versions(registry.home)[-1]
    assert "was deleted" in listing.history(registry.home)[-1]


def test_one_that_lost_its_alias_is_named(registry: Registry) -> None:
    registry.store.client.delete_registered_model_alias(MODEL, "champion")
    with pytest.raises(UserError, match=r"version 2 \(.*\), lost its alias champion outside of"):
        champion.check(registry.store)


def test_a_damaged_one_is_named(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: Any) -> None:
        raise Unreadable("its files are no longer those that were registered")

    monkeypatch.setattr(loading, "check_files", damaged)
    named = r"The champion, version 2 \(.*\), is damaged: its files are no longer those"
    with pytest.raises(UserError, match=named):
        adapt(registry)
    with pytest.raises(UserError, match=named):
        number = int(registry.add(answers(0)))
        promotion.promote(registry.home, RULES, Request(number, "", "", False))
    assert "is damaged" in listing.versions(registry.home)[-1]
    assert "is damaged" in listing.history(registry.home)[-1]
    assert promotion.rollback(registry.home, "").done


def test_one_set_by_hand_is_noticed(registry: Registry) -> None:
    registry.store.client.set_registered_model_alias(MODEL, "champion", "1")
    assert listing.history(registry.home)[-1] == (
        "The alias champion was set outside of promote: it is at version 1, the trail says version"
        " 2."
    )
    assert listing.versions(registry.home)[-1] == listing.history(registry.home)[-1]
    assert str(champion.check(registry.store).version) == "1"


def test_previous_set_by_hand_is_noticed(registry: Registry) -> None:
    registry.store.client.set_registered_model_alias(MODEL, "previous", "2")
    assert "The alias previous was moved outside of promote" in listing.history(registry.home)[-1]
    assert "it is at 2, the trail says 1" in listing.history(registry.home)[-1]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return new_registry(tmp_path / "home", monkeypatch, "in_memory")


def recorded(empty: Registry, number: str = "7", **left_out: str) -> None:
    record = {"version": number, "model_sha256": "ab", "name": "resnet18-ab"} | left_out
    empty.store.client.set_registered_model_tag(MODEL, "champion", json.dumps(record))


COMMAND = '`python -m wbc promote --version N --force --reason "…"` makes another one champion'


def test_without_a_way_back_only_force_is_offered(empty: Registry) -> None:
    recorded(empty)
    now = champion.inspect(empty.store)
    assert (now.version, now.recorded, now.number, now.notice) == (None, "7", "", "")
    assert now.problem == f"The champion, version 7 (resnet18-ab), was deleted; {COMMAND}."
    with pytest.raises(UserError, match="was deleted"):
        champion.check_there(empty.store)


def test_where_nobody_is_champion_no_files_are_read(
    empty: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "check_files", lambda *_: pytest.fail("they were read"))
    assert champion.inspect(empty.store) == champion.Standing(None)
    recorded(empty)
    assert "was deleted" in champion.inspect(empty.store).problem


def test_a_record_that_cannot_be_read_is_none(empty: Registry) -> None:
    number = empty.add(None)
    empty.store.client.set_registered_model_alias(MODEL, "champion", number)
    for text in ("no JSON", "[]", "null", json.dumps({"version": "1", "name": "x"})):
        empty.store.client.set_registered_model_tag(MODEL, "champion", text)
        now = champion.standing(empty.store)
        assert (now.number, now.recorded, now.problem) == (number, "", "")
        assert now.notice == (
            "The alias champion was set outside of promote: it is at version 1, the trail says"
            " nobody."
        )


def test_a_record_names_version_hash_and_run(empty: Registry) -> None:
    number = empty.add(None)
    version = empty.version(number)
    champion.write_record(empty.store, version)
    assert json.loads(empty.tags()["champion"]) == {
        "version": number,
        "model_sha256": version.tags["model_sha256"],
        "name": version.tags["run_name"],
    }
    assert champion.name_of(version) == f"version 1 ({version.tags['run_name']})"
    version.tags = {}
    assert champion.name_of(version) == "version 1"
    champion.write_record(empty.store, version)
    assert json.loads(empty.tags()["champion"]) == {
        "version": number, "model_sha256": "", "name": "",
    }  # fmt: skip
    assert champion.standing(empty.store).problem == (
        f"The champion, version 1 (), lost its alias champion outside of promote; {COMMAND}."
    )


def test_a_damaged_one_that_was_set_by_hand_keeps_both_sentences(
    empty: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = empty.add(None)
    empty.store.client.set_registered_model_alias(MODEL, "champion", number)
    recorded(empty)
    seen = []

    def damaged(*words: Any) -> None:
        seen.append((words[0], words[1].version))
        raise Unreadable("its files cannot be read")

    monkeypatch.setattr(loading, "check_files", damaged)
    now = champion.inspect(empty.store)
    assert seen == [(empty.store, number)]
    assert (now.number, now.recorded) == (number, "7")
    assert now.notice.endswith("the trail says version 7.")
    name = champion.name_of(now.version)
    assert now.problem == (
        f"The champion, {name}, is damaged: its files cannot be read; {COMMAND}."
    )
    champion.check_there(empty.store)  # which does not look at files
