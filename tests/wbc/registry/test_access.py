"""wbc.registry.access: what is not there, and servers that fail, in one sentence each."""

from pathlib import Path
from typing import Any

import pytest

from tests.loopback import LoopbackServer
from tests.registry_home import GOOD, RULES, Registry, events, new_registry, promote
from wbc.errors import UserError
from wbc.registry import access, listing, promotion
from wbc.registry.promotion import Request


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return new_registry(tmp_path / "home", monkeypatch)


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
    with pytest.raises(
        UserError, match=r"MLflow server http://127.0.0.1:9 does not answer"
    ) as error:
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
            with pytest.raises(UserError, match=r"MLflow server http://127\S+ answers 500"):
                command()


def test_what_there_is_instead_is_named_and_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = new_registry(tmp_path / "home", monkeypatch, "in_memory")
    store = registry.store

    def said(version: int | None, alias: str = "champion") -> str:
        with pytest.raises(UserError) as error:
            access.find(store, version, alias)
        return str(error.value)

    assert said(None) == (
        "wbc-classifier has no version yet; `dvc repro` trains and registers one, and `python -m"
        " wbc sync` registers what was trained while MLflow was away."
    )
    for _ in range(10):
        registry.add(None)
    all_ten = ", ".join(map(str, range(1, 11)))
    assert said(0) == (
        f"wbc-classifier has no version 0; there are versions {all_ten} (aliases: none), which"
        " `python -m wbc list` shows."
    )
    registry.add(None)
    for name in ("a", "b"):
        store.client.set_registered_model_alias("wbc-classifier", name, "11")
    assert "has no alias c; there are versions 1, 2, ..., 9, 10, 11 (aliases: a, b), which" in (
        said(None, "c")
    )
    assert access.find(store, None, "a").version == access.find(store, 11, "no").version == "11"
    store.client.set_registered_model_tag(
        "wbc-classifier", "champion", '{"version": "12", "model_sha256": "x", "name": "y"}'
    )
    assert said(None).startswith("The champion, version 12 (y), was deleted; ")
    assert said(12).startswith("wbc-classifier has no version 12; ")
    assert access.find(store, 11, "champion").version == "11"
