"""wbc.registry.origin: which version is meant, and whether enough was recorded to go back."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_home import ARCHITECTURE, new_home, write_model
from tests.registry_home import new_registry
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


class Recorded:
    """A version in memory, and what its run records."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.registry = new_registry(home, monkeypatch, "in_memory")
        self.store = self.registry.store
        self.number = self.registry.add(None, model_sha256="ab" * 32)
        self.run = self.store.client.get_run(self.registry.version(self.number).run_id)
        self.run.data.tags.update({"git.commit": COMMIT, "processor": "A CPU"})
        self.folder = home / "runs" / self.run.info.run_id
        (self.folder / "lineage").mkdir(parents=True)
        (self.folder / "lineage" / "dvc.lock").write_bytes(b"lock")

    def refusal(self, **tags: str) -> str:
        self.run.data.tags.update(tags)
        with pytest.raises(UserError) as error:
            origin.read(self.store, self.number)
        return str(error.value)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(tmp_path / "home", monkeypatch)


def test_an_origin_is_all_that_the_run_records(recorded: Recorded) -> None:
    run = recorded.run
    assert origin.read(recorded.store, "models:/wbc-classifier/1") == origin.Origin(
        version="1", name=run.info.run_name, architecture="resnet18", model_sha256="ab" * 32,
        commit=COMMIT, patch=b"", patch_note="", lock=b"lock",
        tags={"git.commit": COMMIT, "processor": "A CPU"}, run_id=run.info.run_id,
    )  # fmt: skip
    found = origin.read(recorded.store, "1")
    assert found.words == f"version 1 ({run.info.run_name}): commit 012345678901"
    run.data.tags.update({"git.dirty": "true", "git.patch": "cut at 5 of 9 bytes"})
    (recorded.folder / "lineage" / "uncommitted.patch").write_bytes(b"patch")
    found = origin.read(recorded.store, "1")
    assert (found.patch, found.patch_note) == (b"patch", "cut at 5 of 9 bytes")


def test_a_version_is_meant_by_its_number_or_alias(recorded: Recorded) -> None:
    recorded.registry.add(None)
    recorded.store.client.set_registered_model_alias("wbc-classifier", "X-ray", "2")
    for words, number in (("1", "1"), ("X-ray", "2"), ("models:/wbc-classifier@X-ray", "2")):
        assert origin.find(recorded.store, words).version == number
    with pytest.raises(UserError, match="no alias 1x; "):
        origin.find(recorded.store, "1x")


def test_what_is_lacking_is_named_together(recorded: Recorded) -> None:
    (recorded.folder / "lineage" / "dvc.lock").unlink()
    del recorded.run.data.tags["git.commit"]
    said = recorded.refusal(**{"git.dirty": "true"})
    assert said == (
        "Version 1 cannot be made again, because its run records no git commit and no dvc.lock and"
        " no patch of what was not committed: it was registered where git or DVC could not be"
        " asked; train it again with `dvc repro` in a git repository."
    )
    said = recorded.refusal(recorded="afterwards", **{"git.dirty": "false", "git.commit": "x"})
    assert said.startswith("Version 1 cannot be made again, because its run records no dvc.lock: it"
                           " was registered afterwards, where git")  # fmt: skip
    (recorded.folder / "lineage").rmdir()
    assert "records no dvc.lock:" in recorded.refusal()


def test_an_adapted_version_names_what_to_do(recorded: Recorded) -> None:
    assert recorded.refusal(adapted_from="cd" * 32) == (
        "Version 1 was adapted from cdcdcdcdcdcd to another laboratory by `python -m wbc adapt`,"
        " which is no stage of the pipeline, so it cannot be made again from its record; verify the"
        " version that it was adapted from, and run `adapt` again."
    )
    assert "cdcdcdcdcdcd to our-lab by `python" in recorded.refusal(adapted_to="our-lab")


def test_files_and_scores_are_downloaded_or_said_to_be_lost(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = origin.read(recorded.store, "1")
    given = []

    def download(artifact_uri: str, dst_path: str) -> str:
        given.append((artifact_uri, dst_path, Path(dst_path).is_dir()))
        return f"{dst_path}/files"

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", download)
    (recorded.folder / "report").mkdir()
    (recorded.folder / "report" / "metrics.json").write_text('{"µ": 1}', encoding="utf-8")
    target = tmp_path / "deep" / "target"
    for _ in range(2):  # a folder that is there already is as good
        folder, scores = origin.download(recorded.store, found, target)
        assert (folder, scores) == (target / "files" / "artifacts", {"µ": 1})
    assert given == [("models:/wbc-classifier/1", str(target), True)] * 2
    (recorded.folder / "report" / "metrics.json").write_text("x" * 300)
    with pytest.raises(UserError) as error:
        origin.download(recorded.store, found, target)
    assert str(error.value).startswith(
        "The files of version 1 cannot be had from the registry (Expecting value: "
    )
    assert str(error.value).endswith(
        "; restore mlruns/artifacts from a backup, or check the server's artifact store."
    )

    def fails(**_: object) -> None:
        raise OSError("y" * 300)

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fails)
    with pytest.raises(UserError, match=r"registry \(y{1,160}\); restore"):
        origin.download(recorded.store, found, target)


@pytest.mark.parametrize("command", ["verify", "checkout", "promote"])
def test_a_version_of_others_is_one_sentence(
    register: Callable[..., Any], home: Path, command: str
) -> None:
    """As MLflow's client registers one: without the tags of this pipeline."""
    store = register()
    known = store.client.get_model_version(tracking_store.MODEL, "1")
    store.client.create_model_version(tracking_store.MODEL, known.source, known.run_id)
    shutil.copy(Path(__file__).parents[3] / "params.yaml", home)
    words = ["promote", "--version", "2"] if command == "promote" else [command, "2"]
    with pytest.raises(SystemExit, match=r"error: Version 2 was not registered by this pipeline"):
        cli.main(words)
