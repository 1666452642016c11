"""wbc.registry.promotion: the rules, with versions whose answers are made up."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.registry_home import (
    BAD,
    GOOD,
    RULES,
    Registry,
    answers,
    events,
    promote,
    two_champions,
)  # fmt: skip
from wbc import cli
from wbc.errors import UserError
from wbc.registry import listing, loading, promotion, trail
from wbc.registry.loading import Unreadable
from wbc.registry.promotion import Request
from wbc.tracking.store import MODEL


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
    looks = [name for name in registry.tags() if name.startswith(f"looks/{last.set_sha256}/")]
    assert last.set == "test_a" and len(looks) == 2


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
    """As of a promotion that was killed when all was done; nothing is judged or written."""
    _, good = two_champions(registry)
    before = registry.tags()
    assert "it is champion already" in promote(registry, good).paragraph
    assert "it is champion already" in promote(registry, good, "x", force=True).paragraph
    assert registry.tags() == before


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
    with pytest.raises(UserError, match=r"Version 1 was the first champion, so there is no cham"):
        promotion.rollback(registry.home, "")
    assert promote(registry, good).done  # and forward again, through the gate
    assert registry.aliases() == {"champion": good, "previous": bad}


def test_rollback_names_a_deleted_predecessor(registry: Registry) -> None:
    bad, good = two_champions(registry)
    registry.store.client.delete_model_version(MODEL, bad)
    with pytest.raises(UserError, match="Version 1 is gone, so there is no champion to go back"):
        promotion.rollback(registry.home, "")
    assert registry.aliases() == {"champion": good}


def test_rollback_passes_over_deleted_versions_by_name(registry: Registry) -> None:
    numbers = [registry.add(answers(wrong)) for wrong in (4, 3, 2, 1, 0)]
    for number in numbers:
        promote(registry, number, "x", force=True)
    for gone in ("2", "4"):
        registry.store.client.delete_model_version(MODEL, gone)
    first = promotion.rollback(registry.home, "").paragraph
    assert first.endswith("Version 4 is gone, so back to version 3. Before it was version 1, which"
                          " is now previous.")  # fmt: skip
    assert registry.aliases() == {"champion": "3", "previous": "1"}
    assert len(listing.history(registry.home)) == 7  # no notice
    second = promotion.rollback(registry.home, "").paragraph
    assert second.endswith("Version 2 is gone, so back to version 1.")
    assert registry.aliases() == {"champion": "1"}


def test_an_empty_alias_is_refused(registry: Registry) -> None:
    with pytest.raises(SystemExit, match="--alias needs the name of an alias, such as challenger"):
        cli.main(["promote", "--alias", ""])


def test_a_refusal_says_who_is_champion(registry: Registry) -> None:
    assert "is " in (said := promote(registry, registry.add(BAD)).paragraph)
    assert "Nobody is champion. " in said
    two_champions(registry)
    assert "Version 3 (resnet18-" in (said := promote(registry, registry.add(GOOD)).paragraph)
    assert " stays champion. It was loaded." in said


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


def _name(registry: Registry, number: str) -> str:
    return f"ersion {number} ({registry.version(number).tags['run_name']})"


def test_whole_paragraphs(quick: Registry) -> None:
    one, two = quick.add(BAD), quick.add(GOOD)
    said = promote(quick, one).paragraph
    assert re.fullmatch(
        rf"V{re.escape(_name(quick, one))} does not become champion: the lower limit of its"
        r" balanced accuracy, 0\.\d{3}, is not above promotion\.floor 0\.8, as the first champion's"
        r" must be\. Nobody is champion\. It was loaded\. On test_a, .*; the floor is 0\.8\. test_a"
        r" has .* this was look 1 at it for promotion\. `python -m wbc list` shows the versions"
        r' that there are; `promote --force --reason "…"` overrules this\.',
        said,
    )
    forced = promote(quick, one, "the only one", force=True).paragraph
    assert re.match(
        rf"V{re.escape(_name(quick, one))} is champion now, the first one by force \(the only"
        r" one\), although the lower limit of .* must be\. It was loaded\. On test_a, ",
        forced,
    )
    followed = promote(quick, two).paragraph
    assert followed.startswith(
        f"V{_name(quick, two)} is champion now, instead of v{_name(quick, one)}. It was loaded. On"
        " test_a, macro-F1"
    )
    again = promote(quick, two).paragraph
    assert again == (
        f"V{_name(quick, two)} does not become champion: it is champion already. `python -m wbc"
        " list` shows the versions that there are."
    )
    back = promotion.rollback(quick.home, "").paragraph
    assert back == (
        f"V{_name(quick, one)} is champion again, instead of v{_name(quick, two)}: it was loaded."
    )


def test_what_is_written_down(quick: Registry) -> None:
    one, two, three = quick.add(BAD), quick.add(GOOD), quick.add(answers(0))
    promote(quick, one, force=True)
    tags = quick.version(one).tags
    assert tags["promotion.replaces"] == "nobody"
    assert tags["promotion.why"] == "no reason was given"
    assert tags["promotion.verdict"].startswith("refused: the lower limit of")
    assert json.loads(tags["promotion.scores"]).keys() == {
        "balanced_accuracy", "balanced_accuracy_low",
    }  # fmt: skip
    promote(quick, two)
    promote(quick, three, "x", force=True)
    promotion.rollback(quick.home, "alarms")
    first, second, third, back = trail.read(quick.store)
    set_sha256 = second.set_sha256
    assert (first.event, first.version, first.replaces, first.set) == ("force", one, "", "test_a")
    assert first.set_sha256 == set_sha256 and len(set_sha256) == 64
    assert first.verdict.startswith("refused: the lower limit") and first.scores
    assert (second.event, second.replaces, second.verdict) == ("promote", one, "passed")
    assert second.scores == json.loads(quick.version(two).tags["promotion.scores"])
    assert (third.why, third.who) == ("x", "Ada")
    assert (back.event, back.version, back.replaces, back.why) == ("rollback", two, three, "alarms")
    assert (back.who, back.verdict, back.scores) == ("Ada", "", {}) and back.when.endswith("+00:00")
    rolled = quick.version(three).tags
    assert (rolled["rolled_back.who"], rolled["rolled_back.when"]) == ("Ada", back.when)


def test_cells_come_from_the_repositorys_own_data(
    quick: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def some_cells(predictions: Any, raw_dir: Path) -> list[str]:
        asked.append((None if predictions is None else len(predictions), raw_dir))
        return ["cells"]

    def check(store: Any, version: Any, cells: Any) -> str:
        asked.append((store, version.version, cells))
        return "it was tried"

    monkeypatch.setattr(loading, "some_cells", some_cells)
    monkeypatch.setattr(loading, "check", check)
    one, two = quick.add(GOOD), quick.add(None)
    raw = quick.home / "data" / "raw"
    promote(quick, one)
    promote(quick, two, "x", force=True)
    promotion.rollback(quick.home, "")
    assert asked == [
        (300, raw), (quick.store, one, ["cells"]), (None, raw), (quick.store, two, ["cells"]),
        (300, raw), (quick.store, one, ["cells"]),
    ]  # fmt: skip


def test_sets_are_chosen_by_the_rules_and_others_are_named(quick: Registry) -> None:
    lab = answers(2, cells="b", name="lab")
    one = quick.add(pd.concat([answers(15), lab]))
    assert "On lab, balanced accuracy" in promote(quick, one, set="lab").paragraph
    other = quick.add(answers(0, cells="c", name="lab"))
    refused = promote(quick, other, set="lab")
    last = trail.read(quick.store)[-1]
    assert re.search(
        rf"other cells than the champion, v{re.escape(_name(quick, one))}, which never saw its lab"
        rf" \(SHA-256 {last.set_sha256[:8]}\); evaluate both on the same data\. ",
        refused.paragraph,
    )
    assert (last.event, last.set, last.version, last.replaces) == ("refuse", "lab", other, one)
    assert last.why.startswith("promote: it was evaluated on other cells")
    promote(quick, quick.add(None), "x", force=True)
    refused = promote(quick, quick.add(GOOD)).paragraph
    assert f"with the champion, v{_name(quick, '3')}: its run has no report/" in refused


def test_a_drawn_champion_counts_for_drawn_versions_only(quick: Registry) -> None:
    drawn, real = quick.add(GOOD, drawn="true"), quick.add(BAD)
    assert promote(quick, drawn).done
    worse = quick.add(BAD, drawn="true")
    assert "not above the champion's" in promote(quick, worse, floor=0.5).paragraph
    assert promote(quick, real, floor=0.5).done  # worse, but of real cells: the floor counts
    assert "it learned from drawn cells, and the champion from real ones." in (
        promote(quick, drawn).paragraph
    )


def test_a_champion_moved_by_hand_is_written_down_with_who_noticed(quick: Registry) -> None:
    one, two = quick.add(BAD), quick.add(GOOD)
    promote(quick, one, floor=0.5)
    quick.store.client.set_registered_model_alias(MODEL, "champion", two)
    promote(quick, one)
    moved = trail.read(quick.store)[1]
    assert (moved.event, moved.version, moved.replaces) == ("moved", two, one)
    assert moved.who == "noticed by Ada" and moved.when.endswith("+00:00")
    assert moved.why.startswith("The alias champion was set outside of promote: it is at version 2")


def test_a_version_is_found_by_its_alias(quick: Registry) -> None:
    one = quick.add(GOOD)
    quick.add(BAD)
    quick.store.client.set_registered_model_alias(MODEL, "night", one)
    assert promotion.promote(quick.home, RULES, Request(None, "night", "", False)).done
    assert quick.aliases()["champion"] == one


def test_before_the_first_champion_there_is_no_way_back(quick: Registry) -> None:
    quick.add(GOOD)
    with pytest.raises(UserError) as error:
        promotion.rollback(quick.home, "")
    assert str(error.value) == "There is no champion yet; `python -m wbc promote` makes one."


def test_reasons_are_joined_and_a_verdict_without_numbers_says_no_more(quick: Registry) -> None:
    one, two, three = quick.add(BAD), quick.add(GOOD), quick.add(BAD)
    for number in (one, two):
        promote(quick, number, floor=0.5)
    both = r"its macro-F1 is not above the champion's [^;]*; the recalls? of"
    assert re.search(both, promote(quick, three).paragraph)
    assert re.search(f"although {both}", promote(quick, three, "x", force=True).paragraph)
    quick.store.client.delete_model_version(MODEL, three)
    after = promote(quick, quick.add(GOOD), "it is gone", force=True).paragraph
    assert after.endswith(
        "by force (it is gone), although there is no sound champion to compare with. It was loaded."
    )
    quick.store.client.delete_model_version(MODEL, "4")
    assert "instead of version 4, which is gone: it" in promotion.rollback(quick.home, "").paragraph


def test_gone_versions_are_listed(quick: Registry) -> None:
    numbers = [quick.add(None) for _ in range(5)]
    for number in numbers:
        promote(quick, number, "x", force=True)
    for gone in ("2", "3", "4"):
        quick.store.client.delete_model_version(MODEL, gone)
    assert promotion.rollback(quick.home, "").paragraph.endswith(
        "Versions 4, 3 and 2 are gone, so back to version 1."
    )
    assert promotion._are_gone(["3", "2"]) == "Versions 3 and 2 are gone"
    with pytest.raises(UserError) as error:
        promotion.rollback(quick.home, "")
    assert str(error.value) == (
        "Version 1 was the first champion, so there is no champion to go back to; `python -m wbc"
        ' promote --version N --force --reason "…"` sets another.'
    )
