"""wbc.registry.origin: which version is meant, and whether enough was recorded to go back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_home import ARCHITECTURE, new_home, write_model
from wbc import cli
from wbc.errors import UserError
from wbc.lineage import state as lineage
from wbc.lineage.state import Lineage
from wbc.registry import champion, origin, versions
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store

COMMIT = "0123456789" * 4


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Versions of it have no model inside, which would take time."""
    monkeypatch.setattr(versions, "package", lambda *_: None)
    monkeypatch.setattr("mlflow.MlflowClient.log_model_artifacts", lambda *_: None)
    return new_home(tmp_path / "home", monkeypatch)


@pytest.fixture
def register(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def one(seed: int = 1, **changes: Any) -> Any:
        clean = {"commit": COMMIT, "dirty": False, "patch": b"", "patch_note": ""}
        known = Lineage(**{**clean, **changes}, experiment="", baseline="")
        monkeypatch.setattr(lineage, "read", lambda _: known)
        tracking.publish(ARCHITECTURE, *write_model(home, seed=seed))
        return tracking_store.connect(home)

    return one


def test_a_version_is_named_in_five_ways(register: Callable[..., Any]) -> None:
    register(seed=1)
    store = register(seed=2)
    store.client.set_registered_model_alias(tracking_store.MODEL, "champion", "2")
    names = ("2", "champion", "@champion", "models:/wbc-classifier/2")
    for name in (*names, "models:/wbc-classifier@champion"):
        assert str(origin.find(store, name).version) == "2", name
    assert str(origin.find(store, "1").version) == "1"


@pytest.mark.parametrize("name", ["3", "loser", "models:/other/1", ""])
def test_an_unknown_version_names_those_that_there_are(
    register: Callable[..., Any], name: str
) -> None:
    store = register()
    store.client.set_registered_model_alias(tracking_store.MODEL, "champion", "1")
    with pytest.raises(UserError, match=r"there are versions 1 \(aliases: champion\)"):
        origin.find(store, name)


@pytest.mark.parametrize("command", ["verify", "checkout"])
def test_an_empty_registry_is_one_sentence(home: Path, command: str) -> None:
    with pytest.raises(SystemExit, match="error: wbc-classifier has no version yet; `dvc repro`"):
        cli.main([command, "1"])


@pytest.mark.parametrize("command", ["verify", "checkout"])
def test_a_server_that_is_away_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SystemExit, match=r"error: The MLflow server http://127\.0\.0\.1:9 d"):
        cli.main([command, "1"])


@pytest.mark.parametrize("command", ["verify", "checkout"])
def test_outside_a_repository_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="run the command from the repository's root"):
        cli.main([command, "1"])
    assert not list(tmp_path.iterdir())


def test_commit_patch_and_lock_are_read(register: Callable[..., Any], home: Path) -> None:
    store = register(dirty=True, patch=b"the patch", patch_note="too large for the patch: x")
    found = origin.read(store, "1")
    assert (found.commit, found.patch, found.version) == (COMMIT, b"the patch", "1")
    assert found.patch_note == "too large for the patch: x"
    assert found.lock == (home / "dvc.lock").read_bytes()
    assert found.words.endswith("commit 012345678901 with what was not committed")


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [({"commit": ""}, "git commit"), ({"dirty": True}, "patch of what was not committed")],
)
def test_too_little_recorded_is_one_sentence(
    register: Callable[..., Any], changes: dict[str, Any], lacks: str
) -> None:
    store = register(**changes)
    with pytest.raises(UserError, match=f"its run records no {lacks}: it was registered afterward"):
        origin.read(store, "1")


def test_without_dvc_lock_there_is_no_way_back(register: Callable[..., Any], home: Path) -> None:
    (home / "dvc.lock").unlink()
    with pytest.raises(UserError, match=r"records no dvc\.lock"):
        origin.read(register(), "1")


def test_an_adapted_model_is_made_by_another_command(register: Callable[..., Any]) -> None:
    store = register()
    run_id = origin.find(store, "1").run_id
    for name, value in (("adapted_from", "ab" * 32), ("adapted_to", "our-lab")):
        store.client.set_tag(run_id, name, value)
    with pytest.raises(UserError, match="was adapted from abababababab to our-lab"):
        origin.read(store, "1")


def test_a_commit_that_is_not_here_is_one_sentence(
    register: Callable[..., Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(home.parent))
    with pytest.raises(SystemExit, match="is in no git repository"):
        cli.main(["verify", "1"])


@pytest.mark.parametrize("command", ["verify", "checkout"])
def test_a_champion_that_was_deleted_is_named(
    register: Callable[..., Any], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    store = register()
    store.client.set_registered_model_alias(tracking_store.MODEL, "champion", "1")
    champion.write_record(store, origin.find(store, "1"))
    store.client.delete_model_version(tracking_store.MODEL, "1")
    register(seed=2)
    with pytest.raises(SystemExit, match=r"error: The champion, version 1 .* was deleted; "):
        cli.main([command, "champion"])


@pytest.mark.parametrize("command", ["verify", "checkout", "list", "clean", "relocate", "ui"])
def test_no_password_is_printed(home: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:geheim@127.0.0.1:9")
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, *(["1"] if command in ("verify", "checkout") else [])])
    assert "127.0.0.1:9" in str(stopped.value) and "geheim" not in str(stopped.value)
