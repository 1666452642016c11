"""wbc.registry.challenger: the alias that only moves to something better."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tests.mlflow_home import ARCHITECTURE, new_home, write_model
from wbc.model import model_sha256
from wbc.registry import challenger, versions
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path / "home", monkeypatch)


def _without_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules are tested on versions without a model inside, which take no time."""
    monkeypatch.setattr(versions, "package", lambda *_: None)
    monkeypatch.setattr("mlflow.MlflowClient.log_model_artifacts", lambda *_: None)


def _register(home: Path, seed: int, start: str = "random") -> str:
    outputs = write_model(home, seed=seed, start=start)
    tracking.publish(ARCHITECTURE, *outputs)
    return model_sha256(outputs[0])


def _challenger() -> str:
    aliases = tracking_store.connect().client.get_registered_model("wbc-classifier").aliases
    return str(aliases.get("challenger", ""))


def _propose(sha256: str, value: float, cells: str = "cells") -> str:
    return challenger.propose_challenger(
        sha256, metric="val/macro_f1", value=value, evaluation_set_sha256=cells
    )


def test_the_challenger_only_moves_to_something_better(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_artifacts(monkeypatch)
    first, second, third = (_register(home, seed) for seed in (1, 2, 3))

    assert _propose(first, 0.7) == "Version 1 is the first challenger, val/macro_f1 0.7000."
    assert _propose(first, 0.7) == "Version 1 is challenger already, val/macro_f1 0.7000."
    assert "its val/macro_f1 0.6000 is not above 0.7000 of version 1" in _propose(second, 0.6)
    assert "0.7000 is not above 0.7000" in _propose(second, 0.7)
    assert _challenger() == "1"
    assert _propose(third, 0.75) == (
        "Version 3 is the new challenger: val/macro_f1 0.7500 instead of 0.7000 of version 1."
    )
    assert _challenger() == "3"


def test_only_the_same_cells_and_the_same_start_are_compared(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_artifacts(monkeypatch)
    first, second = _register(home, seed=1), _register(home, seed=2)
    imagenet = _register(home, seed=3, start="imagenet")
    _propose(first, 0.7, cells="old cells")

    said = _propose(second, 0.9, cells="new cells")
    assert "version 1 was not scored on the same validation cells" in said
    assert "remove the alias" in said
    said = _propose(imagenet, 0.9, cells="old cells")
    assert "it started from ImageNet weights, version 1 started from random weights" in said
    classical = _register(home, seed=4, start="none")
    assert "it has no starting weights (classical)" in _propose(classical, 0.9, cells="old cells")
    assert _challenger() == "1"
    assert _propose(second, 0.9, cells="old cells").startswith("Version 2 is the new challenger")


def test_an_unknown_model_and_a_dead_server_move_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _propose("0123abcd" * 8, 0.9)
    assert "the model 0123abcd is not registered; `python -m wbc sync` does that." in said
    assert _challenger() == ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "MLflow could not be used" in _propose("0123abcd" * 8, 0.9)


def test_of_two_machines_that_make_the_alias_at_once_the_better_has_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's database refuses the second; that one looks again."""
    _without_artifacts(monkeypatch)
    first, second = _register(home, seed=1), _register(home, seed=2)
    _propose(first, 0.7)
    tracking_store.connect().client.delete_registered_model_alias("wbc-classifier", "challenger")
    make = MlflowClient.set_registered_model_alias
    made: list[str] = []

    def the_other_is_quicker(client: MlflowClient, name: str, alias: str, number: str) -> None:
        made.append(number)
        make(client, name, alias, "1" if len(made) == 1 else number)
        if len(made) == 1:
            raise MlflowException("duplicate key value violates unique constraint")

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", the_other_is_quicker)
    monkeypatch.setattr(challenger, "tracking_reach", SimpleNamespace(is_server=lambda _: True))
    monkeypatch.setattr(challenger, "_SETTLED", 0.0)
    assert "is the new challenger: val/macro_f1 0.8000 instead of 0.7000" in _propose(second, 0.8)
    assert _challenger() == "2"
