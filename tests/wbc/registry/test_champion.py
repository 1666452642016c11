"""wbc.registry.champion: one that is gone, damaged or set by hand is noticed and named."""

from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_home import new_home
from tests.registry_home import RULES, Registry, answers, loads_everything
from wbc.errors import UserError
from wbc.registry import champion, listing, loading, promotion
from wbc.registry.loading import Unreadable
from wbc.registry.promotion import Request
from wbc.tracking import adapt as tracking_adapt
from wbc.tracking.store import MODEL

REFERENCE = "models:/wbc-classifier@champion"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    loads_everything(monkeypatch)
    made = Registry(new_home(tmp_path / "home", monkeypatch))
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


def test_nobody_is_champion_of_an_empty_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = Registry(new_home(tmp_path / "empty", monkeypatch))
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
