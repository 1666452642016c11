"""wbc.tracking.store: one database, at one address, whoever comes first."""

import multiprocessing
import os
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.mlflow_home import ARCHITECTURE, DVC_LOCK, new_home, write_model
from wbc.model import model_sha256
from wbc.registry import challenger
from wbc.tracking import publish as tracking_publish
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store


def test_the_address_is_absolute_and_the_repositorys(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path("/somewhere")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_store.uri(root) == "sqlite:////somewhere/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/mlflow.db")
    assert tracking_store.uri(root) == "sqlite:////somewhere/other/mlflow.db"
    assert (
        tracking_store.artifact_root(tracking_store.uri(root))
        == "file:///somewhere/other/artifacts"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert tracking_store.uri(root) == "https://mlflow.example.org"

    monkeypatch.setenv("DVC_ROOT", "/somewhere")
    assert tracking_store.root() == root
    monkeypatch.delenv("DVC_ROOT")
    assert (tracking_store.root() / "wbc" / "tracking" / "store.py").is_file()


def test_connecting_leaves_the_users_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_home(tmp_path / "home", monkeypatch)
    tracking_store.connect()
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_models_come_from_the_registry_that_versions_went_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLFLOW_REGISTRY_URI is another database's: MLflow's own functions would look there."""
    new_home(tmp_path / "home", monkeypatch)
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", elsewhere)
    tracking_store.connect()
    assert mlflow.get_registry_uri() == tracking_store.uri(tmp_path / "home")
    assert os.environ["MLFLOW_REGISTRY_URI"] == elsewhere


def _train_and_register(barrier: Any, home: Path, number: int) -> None:
    """A model of its own and one that all four make, on a database that nobody has made before."""
    folder = home / str(number)
    (folder / "dvc.lock").parent.mkdir()
    (folder / "dvc.lock").write_text(DVC_LOCK)
    os.chdir(folder)
    outputs = [write_model(folder / str(seed), seed=seed) for seed in (1, 10 + number)]
    barrier.wait()
    with tracking.training_run(ARCHITECTURE, {"seed": number}, "a CPU") as run:
        run.finish(outputs[1][0])
    for each in outputs:
        tracking_publish.publish(tracking_store.connect(), *each, registered=True)
    sha256 = model_sha256(outputs[1][0])
    challenger.propose_challenger(sha256, "val/macro_f1", 0.5 + number / 10, "cells")


def test_four_processes_create_one_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock Alembic's first migrations collide and break the database for good; and
    nothing is registered twice, nor is the best challenger overwritten.
    """
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    forked = multiprocessing.get_context("fork")
    barrier = forked.Barrier(4, timeout=60)
    processes = [
        forked.Process(target=_train_and_register, args=(barrier, tmp_path, number))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    store = tracking_store.connect()
    runs = store.client.search_runs([store.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 5
    versions = store.client.search_model_versions(f"name = '{tracking_store.MODEL}'")
    assert len({version.tags["model_sha256"] for version in versions}) == len(versions) == 5
    best = model_sha256(tmp_path / "3" / "13" / "models" / ARCHITECTURE)
    holder = store.client.get_model_version_by_alias(tracking_store.MODEL, "challenger")
    assert holder.tags["model_sha256"] == best
