"""wbc.registry.versions and packaging: what a version says and what lies in it."""

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.mlflow_home import ARCHITECTURE, new_home, write_model
from tests.registry_home import new_registry
from wbc import processes
from wbc.model import model_sha256
from wbc.registry import packaging, versions
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store
from wbc.tracking.store import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path / "home", monkeypatch)


def _versions() -> dict[str, Any]:
    found = tracking_store.connect().client.search_model_versions("name = 'wbc-classifier'")
    return {version.tags["model_sha256"]: version for version in found}


def _without_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules are tested on versions without a model inside, which take no time."""
    monkeypatch.setattr(versions, "package", lambda *_: None)
    monkeypatch.setattr("mlflow.MlflowClient.log_model_artifacts", lambda *_: None)


def _register(home: Path, seed: int, start: str = "random") -> str:
    outputs = write_model(home, seed=seed, start=start)
    tracking.publish(ARCHITECTURE, *outputs)
    return model_sha256(outputs[0])


def test_a_version_says_what_it_is(home: Path) -> None:
    sha256 = _register(home, seed=1)

    (version,) = _versions().values()
    run = tracking_store.connect().client.get_run(version.run_id)
    assert version.tags == {
        "model_sha256": sha256,
        "architecture": ARCHITECTURE,
        "start": "random",
        "drawn": "false",
        "val/macro_f1": "0.7",
        "data_sha256": "ab" * 32,
        "run_name": run.info.run_name,
    }
    assert version.description == (
        "squeezenet1_1 trained from random weights, validation macro-F1 0.700."
        " Not a medical device."
    )
    assert version.status == "READY"


def test_every_distinct_model_is_one_version(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_artifacts(monkeypatch)
    first, second = _register(home, seed=1), _register(home, seed=2)
    _register(home, seed=1)
    assert {sha256: v.version for sha256, v in _versions().items()} == {first: 1, second: 2}


class Killed(BaseException):
    """As SIGKILL: nothing is put in order."""


@pytest.mark.parametrize("last", ["log_model_artifacts", "log_outputs", "create_model_version"])
def test_a_registration_that_was_killed_is_continued(
    home: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    from mlflow import MlflowClient

    _without_artifacts(monkeypatch)
    monkeypatch.setattr(processes, "is_dead", lambda _: False)  # as of another container's
    real = getattr(MlflowClient, last)
    with monkeypatch.context() as patch:

        def killed(*words: Any, **named: Any) -> None:
            real(*words, **named)
            raise Killed

        patch.setattr(MlflowClient, last, killed)
        with pytest.raises(Killed):
            _register(home, seed=1)
    _register(home, seed=1)
    (version,) = _versions().values()
    store = tracking_store.connect()
    (logged,) = store.client.search_logged_models([store.experiment_id])
    assert version.source == f"models:/{logged.model_id}"
    assert json.loads(logged.tags["mlflow.modelVersions"])[0]["version"] == version.version


def test_requirements_name_no_build() -> None:
    for line in packaging.requirements():
        name, version = line.split("==")
        assert "+" not in version, line
        assert name in packaging.PACKAGES


class Logged:
    """A client that remembers what versions are made of; MLflow's own is asked above."""

    tracking_uri = "https://mlflow.example.org"  # where a process must be known as dead

    def __init__(self) -> None:
        self.done: list[Any] = []
        tags = {"model_sha256": "x" * 64, "data_sha256": "cd" * 32, "architecture": "x",
                "start": "random", "drawn": "false", "git.commit": "0123"}  # fmt: skip
        self.run = SimpleNamespace(
            info=SimpleNamespace(run_name="x-ab"), data=SimpleNamespace(tags=tags), outputs=None
        )
        self.begun: list[Any] = []
        self.known: list[Any] = []

    def get_run(self, run_id: str) -> Any:
        assert run_id == "run-1"
        return self.run

    def search_logged_models(self, experiments: list[str], words: str) -> list[Any]:
        assert (experiments, words) == (["0"], "source_run_id = 'run-1'")
        return self.begun

    def search_model_versions(self, words: str) -> list[Any]:
        assert words == f"name = 'wbc-classifier' and tags.model_sha256 = '{'x' * 64}'"
        return self.known

    def create_model_version(self, name: str, **named: Any) -> Any:
        self.done.append(("create_model_version", name, named))
        version = SimpleNamespace(version="5", run_id=named["run_id"], **{
            key: named[key] for key in ("source", "tags")
        })  # fmt: skip
        self.known.append(version)
        return version

    def __getattr__(self, name: str) -> Any:
        def call(*words: Any, **named: Any) -> Any:
            self.done.append((name, *words, named) if named else (name, *words))
            return SimpleNamespace(model_id="m-1")

        return call


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    client = Logged()

    def package(model_dir: Path, folder: Path, *ids: str) -> None:
        client.done.append(("package", model_dir.name, folder.name, *ids))
        folder.mkdir()

    monkeypatch.setattr(versions, "package", package)
    monkeypatch.setattr(versions, "patience", lambda folder: contextlib.nullcontext(folder.name))
    monkeypatch.setattr(versions.tracking_record, "identity", lambda path: path.name * 64)
    monkeypatch.setattr(versions.tracking_record, "sentence", lambda *words: f"said {words}")
    monkeypatch.setattr(
        versions.tracking_log, "log_tags", lambda store, run_id, tags: client.done.append(
            ("log_tags", run_id, tags, *([] if store.client is client else [store]))
        )
    )  # fmt: skip
    return client


def _registered(logged: Logged, tmp_path: Path, scores: dict[str, float]) -> str:
    (tmp_path / "x").mkdir(exist_ok=True)
    (tmp_path / "x" / "model.json").write_text('{"µ": 1}', encoding="utf-8")
    store = Store(logged, "0", tmp_path / ".lock", tmp_path)
    return versions.register(store, "run-1", tmp_path / "x", scores)


KNOWN_AS = {"mlflow.modelVersions": '[{"name": "wbc-classifier", "version": "5"}]'}


def test_what_a_version_is_made_of(logged: Logged, tmp_path: Path) -> None:
    scores = {"val/macro_f1": 0.75}
    assert _registered(logged, tmp_path, scores) == "5"
    created, packed, files, ready, output, version, told, tagged = logged.done
    assert created[:2] == ("create_logged_model", "0")
    assert created[2] == {
        "name": "x-ab", "source_run_id": "run-1", "model_type": "pyfunc",
        "tags": {versions.tracking_log.PROCESS_TAG: processes.own_name()},
    }  # fmt: skip
    assert packed == ("package", "x", "model", "m-1", "run-1")
    assert files[:2] == ("log_model_artifacts", "m-1") and files[2].endswith("/model")
    assert ready == ("finalize_logged_model", "m-1", "READY")
    assert output[:2] == ("log_outputs", "run-1")
    assert [(one.model_id, one.step) for one in output[2]] == [("m-1", 0)]
    assert version == ("create_model_version", "wbc-classifier", {
        "source": "models:/m-1", "run_id": "run-1", "model_id": "m-1",
        "tags": logged.run.data.tags | {"run_name": "x-ab", "val/macro_f1": "0.75"},
        "description": f"said {({'µ': 1}, scores)}",
    })  # fmt: skip
    assert told == ("set_logged_model_tags", "m-1", KNOWN_AS)
    assert tagged == ("log_tags", "run-1", {"model_version": "5"})


def test_without_commit_and_score_there_are_no_such_tags(logged: Logged, tmp_path: Path) -> None:
    del logged.run.data.tags["git.commit"]
    logged.run.outputs = SimpleNamespace(model_outputs=[SimpleNamespace(model_id="m-1")])
    _registered(logged, tmp_path, {})
    assert "log_outputs" not in [words[0] for words in logged.done]
    (made,) = (words for words in logged.done if words[0] == "create_model_version")
    assert made[2]["tags"] == logged.run.data.tags | {"run_name": "x-ab"}
    assert tuple(logged.run.data.tags) == versions._VERSION_TAGS


def test_a_model_that_has_a_version_gets_no_other(logged: Logged, tmp_path: Path) -> None:
    def version(number: str, run_id: str) -> Any:
        return SimpleNamespace(version=number, run_id=run_id, source=f"models:/m-{number}")

    logged.known = [version("10", "run-1"), version("9", "run-2")]
    assert _registered(logged, tmp_path, {}) == "9"
    known_as = {"mlflow.modelVersions": '[{"name": "wbc-classifier", "version": "9"}]'}
    assert logged.done == [
        ("set_logged_model_tags", "m-9", known_as), ("log_tags", "run-1", {"reproduces": "9"}),
    ]  # fmt: skip
    logged.done.clear()
    logged.known[1].source = "file:///older"  # of before logged models
    _registered(logged, tmp_path, {})
    assert logged.done == [("log_tags", "run-1", {"reproduces": "9"})]


@pytest.mark.parametrize("first", ["4", "6"])
def test_of_two_machines_the_first_version_stays(
    logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    other = SimpleNamespace(version=first, run_id="run-9", source="models:/m-9", tags={})
    finalize = logged.finalize_logged_model

    def meanwhile(*words: Any) -> None:
        logged.known.append(other)
        finalize(*words)

    logged.finalize_logged_model = meanwhile  # type: ignore[method-assign]
    assert _registered(logged, tmp_path, {}) == min(first, "5")
    last = [words for words in logged.done if words[0].startswith(("delete", "log_tags"))]
    if first == "6":
        assert last == [("log_tags", "run-1", {"model_version": "5"})]
    else:
        assert last == [
            ("delete_model_version", "wbc-classifier", "5"), ("delete_logged_model", "m-1"),
            ("log_tags", "run-1", {"reproduces": "4"}),
        ]  # fmt: skip


def test_only_a_logged_model_of_the_dead_without_a_version_is_continued(
    logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "is_dead", lambda name: name == "dead")
    tag = versions.tracking_log.PROCESS_TAG
    for model_id, tags in (
        ("m-6", {tag: "dead", "mlflow.modelVersions": "[]"}), ("m-7", {tag: "living"}),
        ("m-8", {}), ("m-9", {tag: "dead"}),
    ):  # fmt: skip
        logged.begun.append(SimpleNamespace(model_id=model_id, tags=tags))
    _registered(logged, tmp_path, {})
    names = [words[0] for words in logged.done]
    assert "create_logged_model" not in names
    assert ("finalize_logged_model", "m-9", "READY") in logged.done


def test_versions_come_in_order_from_all_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = new_registry(tmp_path / "home", monkeypatch, "in_memory")
    assert versions.all_versions(registry.store) == []
    for number in range(11):
        registry.add(None, model_sha256="same" if number in (3, 7) else str(number))
    found = versions.all_versions(registry.store)
    assert [version.version for version in found] == list(map(str, range(1, 12)))
    assert versions.find_version(registry.store, "same").version == "4"
    assert versions.find_version(registry.store, "none") is None
