"""wbc.registry.listing: tables that a person can read."""

from dataclasses import replace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from tests.registry_home import RULES, Registry, answers
from wbc.errors import UserError
from wbc.registry import champion, listing, promotion, trail
from wbc.registry.promotion import Request
from wbc.registry.trail import Event
from wbc.tracking.store import MODEL


def test_versions_are_listed_with_what_they_are(registry: Registry) -> None:
    registry.add(answers(2), **{"git.commit": "abcdef0123", "data_sha256": "12" * 32})
    number = registry.add(None, drawn="true")
    store = registry.store
    for name, score in {"val/macro_f1": 0.75, "test_a/macro_f1": 0.8125, "lab/macro_f1": 1}.items():
        store.client.log_metric(registry.version("1").run_id, name, score)
    store.client.set_registered_model_alias(MODEL, "challenger", number)
    head, first, second = listing.versions(registry.home)
    assert head.split() == [
        "version",
        "aliases",
        "architecture",
        "start",
        "data",
        "commit",
        "val",
        "macro-F1",
        "test",
        "macro-F1",
        "set",
        "drawn",
    ]
    expected = "1 - resnet18 random 12121212 abcdef01 0.750 0.812 test_a no"
    assert first.split() == expected.split()
    assert second.split() == [
        "2",
        "challenger",
        "resnet18",
        "random",
        "-",
        "-",
        "-",
        "-",
        "-",
        "yes",
    ]


def test_history_is_a_table_of_all_events(registry: Registry) -> None:
    for wrong in (2, 2):
        registry.add(answers(wrong))
    for number, reason, force in ((1, "", False), (2, "", False), (2, "new stain", True)):
        promotion.promote(registry.home, RULES, Request(number, "", reason, force))
    promotion.rollback(registry.home, "")
    head, *rows = listing.history(registry.home)
    assert head.split() == ["when", "(UTC)", "event", "version", "replaces", "set", "who", "why"]
    cells = [row.split() for row in rows]
    assert [row[3:6] for row in cells] == [
        ["promote", "1", "-"], ["refuse", "2", "1"], ["force", "2", "1"], ["rollback", "1", "2"],
    ]  # fmt: skip
    assert rows[0].endswith("above the floor") and rows[3].endswith("-")
    assert rows[1].endswith("promote: it ties with the champion: macro-F1 is the same")
    assert rows[2].endswith("new stain (refused: it ties with the champion: macro-F1 is the same)")


def test_long_reasons_are_shortened_unless_asked_for(registry: Registry) -> None:
    registry.add(answers(2))
    long = "because " + 30 * "very "
    promotion.promote(registry.home, RULES, Request(1, "", long, False))
    row, hint = listing.history(registry.home)[1:]
    assert row.endswith(" …") and hint.startswith("`python -m wbc history --full` has")
    assert long.strip() in listing.history(registry.home, full=True)[1]


def test_columns_are_aligned() -> None:
    assert listing.table([["a", "bb", "c"], ["aaa", "b", ""]]) == ["a    bb  c", "aaa  b"]


def test_what_a_version_does_not_say_is_a_dash(quick: Registry) -> None:
    store = quick.store
    for tags in ({}, {"drawn": "maybe"}, {"drawn": "true", "git.commit": "0123456789"}):
        quick.add(None, **tags)
    for name in ("b", "a"):
        store.client.set_registered_model_alias(MODEL, name, "3")
    store.client.versions["1"].tags.clear()
    store.client.versions["1"].run_id = ""  # registered without a run
    store.client.versions["2"].run_id = "gone"
    store.client.log_metric(quick.version("3").run_id, "test_b/macro_f1", 0.5)
    head, first, second, third = listing.versions(quick.home)
    assert first.split() == ["1", *"-" * 9]
    assert second.split() == ["2", "-", "resnet18", "random", *"-" * 6]
    assert third.split() == [
        "3", "a,", "b", "resnet18", "random", "-", "01234567", "-", "0.500", "test_b", "yes",
    ]  # fmt: skip
    for column, cell in (("architecture", "resnet18"), ("commit", "01234567"), ("set", "test_b")):
        assert head.index(column) == third.index(cell), column
    assert head.index("val macro-F1") == third.index("-  ", third.index("0123"))
    assert head.index("test macro-F1") == third.index("0.500")
    assert head.index("aliases") == third.index("a, b")


def test_a_run_that_cannot_be_asked_for_is_no_missing_run(
    quick: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick.add(None)

    def fails(*_: object) -> None:
        raise MlflowException("the server is gone")

    monkeypatch.setattr(type(quick.store.client), "get_run", fails)
    with pytest.raises(UserError, match="the server is gone"):
        listing.versions(quick.home)


EVENT = Event("promote", "2", "1", "Ada", "2026-01-02T03:04:05+00:00", "why", "test_a", "ab" * 32,
              "passed", {"macro_f1_gain": 0.0125})  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "why (macro-F1 +0.013)"),
        ({"why": ""}, "macro-F1 +0.013"),
        ({"scores": {}}, "why (above the floor)"),
        ({"scores": {}, "why": ""}, "above the floor"),
        ({"event": "force", "verdict": "refused: x"}, "why (refused: x)"),
        ({"event": "refuse"}, "why"),
        ({"event": "moved", "why": ""}, "-"),
    ],
)
def test_an_event_is_a_row(changes: dict[str, Any], why: str) -> None:
    event = replace(EVENT, **changes)
    assert listing._event(3, event) == [
        "3", "2026-01-02 03:04", event.event, "2", "1", "test_a abababab", "Ada", why,
    ]  # fmt: skip


def test_an_event_without_set_and_predecessor_has_dashes() -> None:
    row = listing._event(1, replace(EVENT, set="", replaces=""))
    assert row[4:6] == ["-", "-"]


def test_history_is_shortened_at_100_characters(quick: Registry) -> None:
    for why in ("x" * 100, "y " * 51):
        trail.append(quick.store, Event("refuse", "1", "", "Ada", "now", why))
    head, first, second, hint, *_ = listing.history(quick.home)
    assert head.split()[0] == "when" and head.endswith("why")
    assert first.startswith("1  now") and first.endswith(" " + "x" * 100)
    assert second.startswith("2  now") and second.endswith(" y …")
    assert hint == "`python -m wbc history --full` has the reasons in full."
    full = listing.history(quick.home, full=True)
    assert full[2].endswith("y y") and "--full" not in full[3:]


def test_an_empty_history_says_what_writes_the_first_line(quick: Registry) -> None:
    assert listing.history(quick.home) == [
        "Nothing was promoted yet; `python -m wbc promote` writes the first line."
    ]


def test_previous_is_looked_after(quick: Registry) -> None:
    store = quick.store
    one, two, three = (quick.add(None) for _ in range(3))
    for number, before in ((one, ""), (two, one), (three, two)):
        trail.append(store, Event("promote", number, before))
    champion.write_record(store, quick.version(three))
    store.client.set_registered_model_alias(MODEL, "champion", three)

    def notice() -> str:
        return listing.history(quick.home)[4:][0] if len(listing.history(quick.home)) > 4 else ""

    assert notice() == (
        "The alias previous was moved outside of promote and rollback: it is at no version, the"
        " trail says 2, which is where `rollback` goes."
    )
    store.client.set_registered_model_alias(MODEL, "previous", two)
    assert notice() == ""
    store.client.delete_model_version(MODEL, two)  # its alias goes with it
    assert notice() == ""
    store.client.set_registered_model_alias(MODEL, "previous", three)
    assert "it is at 3, the trail says 1, which" in notice()
    store.client.delete_model_version(MODEL, one)
    assert "it is at 3, the trail says none, which" in notice()


def test_no_control_character_of_the_registry_reaches_a_terminal(registry: Registry) -> None:
    number = registry.add(answers(2), **{"git.commit": "\x1b[2J"})
    event = Event("refuse", number, who="\x1b]0;x\x07", why="a\x9b2J\ud800\nb", set="\x1b[1m")
    trail.append(registry.store, replace(event, why=event.why.replace("\ud800", "")))
    lines = [*listing.history(registry.home, full=True), *listing.versions(registry.home)]
    assert "%1B]0;x%07" in lines[1] and "a%C2%9B2J%0Ab" in lines[1] and "%1B[1m" in lines[1]
    assert all(line.isprintable() for line in lines)
    assert "\ud800" not in listing.table([["\ud800"]])[0]
