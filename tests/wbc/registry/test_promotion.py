"""wbc.registry.promotion and aliases: the rules, with versions whose answers are made up."""

import json
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import LoopbackServer
from tests.mlflow_home import new_home
from tests.registry_home import RULES, Registry, answers, loads_everything
from wbc.errors import UserError
from wbc.registry import aliases, listing, loading, promotion, trail
from wbc.registry.loading import Unreadable
from wbc.registry.promotion import Outcome, Request
from wbc.tracking_store import MODEL

GOOD, BAD = answers(2), answers(15)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    home = new_home(tmp_path / "home", monkeypatch)
    subprocess.run(["git", "init", "-q"], cwd=home, check=True)
    subprocess.run(["git", "config", "user.name", "Ada"], cwd=home, check=True)
    loads_everything(monkeypatch)
    return Registry(home)


def promote(
    registry: Registry, number: str, reason: str = "", force: bool = False, **rules: Any
) -> Outcome:
    request = Request(int(number), "challenger", reason, force)
    return promotion.promote(registry.home, replace(RULES, **rules), request)


def two_champions(registry: Registry) -> tuple[str, str]:
    """Version 1 with a low floor, then the better version 2."""
    bad, good = registry.add(BAD), registry.add(GOOD)
    assert promote(registry, bad, floor=0.5).done
    assert promote(registry, good, "better on monocytes").done
    return bad, good


def events(registry: Registry) -> list[str]:
    return [f"{e.event} {e.version}" for e in trail.read(registry.store)]


def test_the_first_needs_the_floor(registry: Registry) -> None:
    bad = registry.add(BAD)
    refused = promote(registry, bad)
    assert not refused.done and "does not become champion: the lower limit of" in refused.paragraph
    assert registry.aliases() == {}
    accepted = promote(registry, bad, floor=0.5)
    assert accepted.done and "is champion now, the first one. It was loaded." in accepted.paragraph
    assert registry.aliases() == {"champion": bad}
    assert events(registry) == ["refuse 1", "promote 1"]


def test_a_better_version_follows_and_everything_is_written_down(registry: Registry) -> None:
    bad, good = two_champions(registry)
    assert registry.aliases() == {"champion": good, "previous": bad}
    tags = registry.version(good).tags
    assert tags["promotion.who"] == "Ada" and tags["promotion.why"] == "better on monocytes"
    assert tags["promotion.verdict"].startswith("passed. On test_a, macro-F1 is 0.217 higher")
    assert json.loads(tags["promotion.scores"])["macro_f1_p"] < 0.05
    assert tags["promotion.replaces"] == bad and tags["promotion.when"].endswith("+00:00")
    last = trail.read(registry.store)[-1]
    assert (last.event, last.version, last.replaces, last.who) == ("promote", good, bad, "Ada")
    assert last.set == "test_a" and registry.tags()[f"looks/{last.set_sha256}"] == "2"


def test_a_tie_is_refused_counted_and_can_be_forced_with_a_reason(registry: Registry) -> None:
    _, good = two_champions(registry)
    tie = registry.add(GOOD)
    refused = promote(registry, tie)
    assert not refused.done and "it ties with the champion" in refused.paragraph
    assert "this was look 3 at it for promotion, and each" in refused.paragraph
    assert registry.aliases()["champion"] == good
    forced = promote(registry, tie, "smaller, same answers", force=True)
    assert forced.done
    assert "by force (smaller, same answers), although it ties with" in forced.paragraph
    assert registry.aliases() == {"champion": tie, "previous": good}
    assert registry.version(tie).tags["promotion.verdict"].startswith("refused: it ties")
    assert events(registry)[2:] == ["refuse 3", "force 3"]


def test_force_that_was_not_needed_is_a_promotion(registry: Registry) -> None:
    assert promote(registry, registry.add(GOOD), "in a hurry", force=True).done
    assert events(registry) == ["promote 1"]


def test_what_cannot_be_compared_is_refused(registry: Registry) -> None:
    two_champions(registry)
    aliases_before = registry.aliases()
    looks = [text for name, text in registry.tags().items() if name.startswith("looks/")]
    for candidate, tags, words in (
        (answers(0, cells="b"), {}, "evaluated on other cells than the champion, version 2 (resn"),
        (None, {}, "its run has no report/predictions.csv"),
        (GOOD.drop(columns="sha256"), {}, "lacks the column sha256"),
        (answers(0), {"drawn": "true"}, "learned from drawn cells, and the champion from real"),
        (answers(0, name="val"), {}, "not evaluated on a test set with all five classes"),
    ):
        refused = promote(registry, registry.add(candidate, **tags))
        assert not refused.done and words in refused.paragraph
    assert registry.aliases() == aliases_before
    assert [t for n, t in registry.tags().items() if n.startswith("looks/")] == looks


def test_a_champion_without_evidence_is_named(registry: Registry) -> None:
    promote(registry, registry.add(None), "the only one", force=True)
    refused = promote(registry, registry.add(GOOD))
    assert "cannot be compared with the champion, version 1 (" in refused.paragraph


def test_drawn_cells_only_until_there_are_real_ones(registry: Registry) -> None:
    drawn = registry.add(answers(0, cells="drawn"), drawn="true")
    better, real = registry.add(answers(2), drawn="false"), registry.add(answers(1))
    assert promote(registry, drawn).done
    assert not promote(registry, better, floor=0.99).done  # as the first one: the floor counts
    assert promote(registry, better).done
    assert not promote(registry, drawn).done
    assert not promote(registry, real).done  # a gain within noise


def test_the_champion_itself_is_refused(registry: Registry) -> None:
    _, good = two_champions(registry)
    assert "it is champion already" in promote(registry, good).paragraph
    assert "it is champion already" in promote(registry, good, "x", force=True).paragraph


def test_an_unreadable_version_is_refused_even_by_force(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, good = two_champions(registry)
    new = registry.add(answers(0))

    def fails(*_: Any) -> str:
        raise Unreadable("its files were damaged")

    monkeypatch.setattr(loading, "check", fails)
    refused = promote(registry, new, "please", force=True)
    assert not refused.done and "does not become champion: its files were" in refused.paragraph
    back = promotion.rollback(registry.home, "")
    assert not back.done and "Version 1 (" in back.paragraph
    assert registry.aliases()["champion"] == good
    assert [e.why for e in trail.read(registry.store)][-2:] == [
        "promote: its files were damaged", "rollback: its files were damaged",
    ]  # fmt: skip


def test_rollback_walks_back_and_stops_at_the_first(registry: Registry) -> None:
    bad, good = two_champions(registry)
    third = registry.add(answers(0))
    promote(registry, third, "try", force=True)
    first = promotion.rollback(registry.home, "too many alarms")
    assert first.done and "Version 2 (" in first.paragraph
    assert "is champion again, instead of version 3 (" in first.paragraph
    assert registry.aliases() == {"champion": good, "previous": bad}
    assert registry.version(third).tags["rolled_back.why"] == "too many alarms"
    assert promotion.rollback(registry.home, "").done
    assert registry.aliases() == {"champion": bad}
    with pytest.raises(UserError, match=r"Version 1 was the first champion, so there is none to"):
        promotion.rollback(registry.home, "")
    assert promote(registry, good).done  # and forward again, through the gate
    assert registry.aliases() == {"champion": good, "previous": bad}


def test_rollback_names_a_deleted_predecessor(registry: Registry) -> None:
    bad, good = two_champions(registry)
    registry.store.client.delete_model_version(MODEL, bad)
    with pytest.raises(UserError, match="Version 1, the champion before this one, was deleted"):
        promotion.rollback(registry.home, "")
    assert registry.aliases() == {"champion": good}


def test_a_champion_set_by_hand_gets_its_line_and_its_way_back(registry: Registry) -> None:
    _, good = two_champions(registry)
    by_hand, next_one = registry.add(answers(4)), registry.add(answers(0))
    registry.store.client.set_registered_model_alias(MODEL, "champion", by_hand)
    promote(registry, next_one, "x", force=True)
    assert events(registry)[2:] == ["moved 3", "promote 4"]
    assert registry.aliases() == {"champion": next_one, "previous": by_hand}
    promotion.rollback(registry.home, "")
    promotion.rollback(registry.home, "")
    assert registry.aliases()["champion"] == good


def test_a_deleted_champion_stops_promotion_and_rollback_mends_it(registry: Registry) -> None:
    bad, good = two_champions(registry)
    registry.store.client.delete_model_version(MODEL, good)
    with pytest.raises(UserError, match=r"The champion, version 2 \(resnet18-\w+\), was deleted; "):
        promote(registry, registry.add(answers(0)))
    back = promotion.rollback(registry.home, "")
    assert back.done and "instead of version 2, which is gone" in back.paragraph
    assert registry.aliases() == {"champion": bad}


def test_a_deleted_champion_can_be_replaced_by_force(registry: Registry) -> None:
    _, good = two_champions(registry)
    registry.store.client.delete_model_version(MODEL, good)
    new = registry.add(answers(0))
    forced = promote(registry, new, "the old one is gone", force=True)
    assert forced.done and "no sound champion to compare with" in forced.paragraph
    assert registry.aliases()["champion"] == new


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


def state(registry: Registry, number: str) -> Any:
    tags = {name: text for name, text in registry.tags().items() if "looks" not in name}
    return registry.aliases(), tags, registry.version(number).tags


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


def test_bad_input_is_one_sentence(registry: Registry) -> None:
    with pytest.raises(UserError, match="wbc-classifier has no version yet; `dvc repro` trains"):
        promote(registry, "1")
    with pytest.raises(UserError, match="There is no champion yet; `python -m wbc promote` makes"):
        promotion.rollback(registry.home, "")
    registry.add(GOOD)
    with pytest.raises(UserError, match=r"has no version 7; there are versions 1 \(aliases: none"):
        promote(registry, "7")
    with pytest.raises(UserError, match="has no alias challenger; there are versions 1"):
        promotion.promote(registry.home, RULES, Request(None, "challenger", "", False))
    assert events(registry) == []


def test_a_server_that_is_away_is_one_sentence_without_its_password(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:secret@127.0.0.1:9")
    with pytest.raises(UserError, match=r"The registry at http://127.0.0.1:9 failed") as error:
        promote(registry, "1")
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_a_server_that_answers_errors_is_one_sentence(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(request: Any) -> None:
        request.send_response(500)
        request.send_header("Content-Length", "0")
        request.end_headers()

    with LoopbackServer({}) as server:
        monkeypatch.setattr("tests.loopback.not_found", broken)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        for command in (lambda: promote(registry, "1"), lambda: listing.versions(registry.home)):
            with pytest.raises(UserError, match=r"The registry at http://127\S+ failed \(.*500"):
                command()


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
