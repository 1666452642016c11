"""wbc.registry.challenger: the alias that only moves to something better."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tests.mlflow_home import ARCHITECTURE, new_home, write_model
from tests.registry_home import Registry, new_registry
from wbc import comparison
from wbc.errors import UserError
from wbc.model import model_sha256
from wbc.registry import challenger, versions
from wbc.tracking import publish, record
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


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(challenger, "_SETTLED", 0.0)
    return new_registry(tmp_path / "home", monkeypatch, "in_memory")


def _made(registry: Registry, sha256: str, **tags: str) -> str:
    return registry.add(None, model_sha256=sha256, **tags)


def test_a_refusal_is_whole_sentences_and_the_score_is_kept(registry: Registry) -> None:
    for sha256, start in (("a", "file"), ("b", "file"), ("c", "other")):
        _made(registry, sha256, start=start)
    assert _propose("a", 0.5) == "Version 1 is the first challenger, val/macro_f1 0.5000."
    tags = registry.version("1").tags
    assert (tags["val/macro_f1"], tags["evaluation_set_sha256"]) == ("0.5", "cells")
    remedy = "to choose anew, remove the alias challenger in the MLflow UI and run `python -m wbc"
    assert _propose("b", 0.25) == (
        "Version 2 does not become challenger: its val/macro_f1 0.2500 is not above 0.5000 of"
        " version 1."
    )
    assert registry.version("2").tags["val/macro_f1"] == "0.25"
    assert _propose("b", 0.75, "others") == (
        "Version 2 does not become challenger: version 1 was not scored on the same validation"
        f" cells; {remedy} sync`."
    )
    assert _propose("c", 0.75) == (
        "Version 3 does not become challenger: it started from other, version 1 started from the"
        f" weights in a file, and these are not ranked together; {remedy} sync`."
    )
    assert registry.aliases() == {"challenger": "1"}
    registry.store.client.delete_model_version_tag("wbc-classifier", "1", "val/macro_f1")
    assert "was not scored on the same validation cells" in _propose("b", 0.75)
    registry.store.client.delete_model_version_tag("wbc-classifier", "2", "start")
    assert "it started from unknown, version 1" in _propose("b", 0.75)


def test_a_model_without_a_version_is_said_with_what_to_do(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256, runs = "0123abcd" * 8, {}
    monkeypatch.setattr(
        publish,
        "find_run",
        lambda store, sha256: runs.get(sha256) if store is registry.store else 1,
    )
    stays = "The alias challenger stays: the model 0123abcd"

    def said() -> str:
        return challenger.propose_challenger(sha256, "val/macro_f1", 0.5, "cells", "go on")

    assert said() == f"{stays} is not registered; go on."
    info, data = SimpleNamespace(run_name="resnet18-0123abcd"), SimpleNamespace(tags={"a": "b"})
    runs[sha256] = SimpleNamespace(info=info, data=data)
    assert said() == f"{stays} is not registered; go on."
    for tag in ("model_version", "reproduces"):
        data.tags = {tag: "7"}
        assert said() == (
            f"{stays} was version 7, which was deleted in MLflow; to register it again, remove the"
            f" tag {tag} of its run resnet18-0123abcd in the MLflow UI and run `python -m wbc"
            " sync`."
        )


def test_what_mlflow_raises_is_a_clause(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: Exception) -> None:
        def connect(*_: object) -> None:
            raise error

        monkeypatch.setattr(tracking_store, "connect", connect)

    fails(UserError("x"))
    assert _propose("a", 0.5) == (
        "The alias challenger was not looked at, because MLflow could not be used."
    )
    fails(ValueError("no\nsuch key"))
    assert _propose("a", 0.5) == (
        "The alias challenger was not looked at, because MLflow failed (no such key)."
    )


def _on_a_server(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The registry as one that several machines share; how long was waited."""
    waited: list[float] = []
    monkeypatch.setattr(challenger, "_SETTLED", 1.0)
    monkeypatch.setattr(challenger.time, "sleep", waited.append)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    return waited


def test_on_a_server_whoever_moved_it_looks_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sha256 in "abc":
        _made(registry, sha256)
    _propose("a", 0.5)
    waited = _on_a_server(registry, monkeypatch)
    assert _propose("b", 0.6).startswith("Version 2 is the new challenger") and waited == [1.0]
    assert _propose("b", 0.6).startswith("Version 2 is challenger already") and waited == [1.0]
    other = registry.version("3")
    client = registry.store.client
    client.set_model_version_tag("wbc-classifier", "3", "val/macro_f1", "0.9")
    client.set_model_version_tag("wbc-classifier", "3", "evaluation_set_sha256", "cells")

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        client.set_registered_model_alias("wbc-classifier", "challenger", other.version)

    monkeypatch.setattr(challenger.time, "sleep", sleep)
    assert "0.7000 is not above 0.9000 of version 3." in _propose("a", 0.7) + _propose("b", 0.7)
    client.set_registered_model_alias("wbc-classifier", "challenger", "2")
    assert "its val/macro_f1 0.8000 is not above 0.9000 of version 3." in _propose("a", 0.8)
    assert registry.aliases() == {"challenger": "3"}


def test_an_alias_that_was_removed_meanwhile_is_not_fought_for(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made(registry, "a")
    _on_a_server(registry, monkeypatch)
    client = registry.store.client
    monkeypatch.setattr(
        challenger.time,
        "sleep",
        lambda _: client.delete_registered_model_alias("wbc-classifier", "challenger"),
    )
    assert _propose("a", 0.5) == "Version 1 is the first challenger, val/macro_f1 0.5000."
    assert registry.aliases() == {}


def test_a_refused_alias_that_nobody_has_is_an_error(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made(registry, "a")

    def refused(*_: object) -> None:
        raise MlflowException("no room")

    monkeypatch.setattr(type(registry.store.client), "set_registered_model_alias", refused)
    assert _propose("a", 0.5).endswith("because MLflow failed (no room).")


def test_the_best_of_each_start_is_proposed_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.DataFrame({"architecture": ["x", "y", "z"], "val/macro_f1": [0.5, 0.6, 0.7]})
    monkeypatch.setattr(comparison, "winners", lambda given: {"a": "y", "b": "z", "c": "y"}
                        if given is table else {})  # fmt: skip
    monkeypatch.setattr(record, "identity", lambda path: path.as_posix())
    monkeypatch.setattr(publish, "find_run", lambda *_: None)
    number = _made(registry, "models/y")
    said = challenger.propose_winners(table, Path("models"), "cells", "go on")
    assert said == [
        "Version 1 is the first challenger, val/macro_f1 0.6000.",
        "The alias challenger stays: the model models/z is not registered; go on.",
        "Version 1 is challenger already, val/macro_f1 0.6000.",
    ]
    assert registry.version(number).tags["evaluation_set_sha256"] == "cells"
    again = challenger.propose_winners(table, Path("models"), "cells")
    assert len(again) == 2 and again[1].endswith("registered; `python -m wbc sync` does that.")
