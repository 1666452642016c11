"""wbc.registry.listing: tables that a person can read."""

from pathlib import Path

import pytest

from tests.mlflow_home import new_home
from tests.registry_home import RULES, Registry, answers, loads_everything
from wbc.registry import listing, promotion
from wbc.registry.promotion import Request
from wbc.tracking.store import MODEL


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    loads_everything(monkeypatch)
    return Registry(new_home(tmp_path / "home", monkeypatch))


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
