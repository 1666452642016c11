"""wbc.registry.versions and packaging: what a version says and what lies in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_home import ARCHITECTURE, new_home, write_model
from wbc import processes
from wbc.model import model_sha256
from wbc.registry import packaging, versions
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store


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
