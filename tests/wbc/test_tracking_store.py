"""wbc.tracking_store: one database, at one address, whoever comes first."""

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_home import new_home
from wbc import tracking_store


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
    assert (tracking_store.root() / "wbc" / "tracking_store.py").is_file()


def test_connecting_leaves_the_users_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_home(tmp_path / "home", monkeypatch)
    tracking_store.connect()
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def _create_a_run(barrier: Any) -> None:
    barrier.wait()
    store = tracking_store.connect()
    store.client.create_run(store.experiment_id)


def test_four_processes_create_one_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock Alembic's first migrations collide and break the database for good."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    forked = multiprocessing.get_context("fork")
    barrier = forked.Barrier(4)
    processes = [forked.Process(target=_create_a_run, args=(barrier,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    store = tracking_store.connect()
    assert len(store.client.search_runs([store.experiment_id])) == 4
