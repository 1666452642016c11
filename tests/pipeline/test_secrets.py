"""Secrets of the environment are in nothing that a run leaves behind."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.pipeline.conftest import Repository

pytestmark = pytest.mark.pipeline
WORD = "".join(("q7zx", "w9kv"))  # begins every secret; not in one piece in this file
SECRETS = {
    "AWS_ACCESS_KEY_ID": f"{WORD}-aws-id",
    "AWS_SECRET_ACCESS_KEY": f"{WORD}-aws-key",
    "AWS_SESSION_TOKEN": f"{WORD}-aws-session",
    "MLFLOW_TRACKING_USERNAME": "ada",
    "MLFLOW_TRACKING_PASSWORD": f"{WORD}-mlflow-password",
    "MLFLOW_TRACKING_TOKEN": f"{WORD}-mlflow-token",
    "KAGGLE_USERNAME": "ada",
    "KAGGLE_KEY": f"{WORD}-kaggle-key",
    "KAGGLE_API_TOKEN": f"{WORD}-kaggle-token",
    "HF_TOKEN": f"{WORD}-hub-token",
    "GIT_TOKEN": f"{WORD}-git-token",
}
AWAY = f"http://ada:{WORD}-in-address@127.0.0.1:9"  # nothing listens there


def holding(folder: Path) -> Iterator[str]:
    """Files below `folder`, also hidden ones, that have a planted secret in them."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent) / name for name in names):
            if path.is_file() and WORD.encode() in path.read_bytes():
                yield str(path.relative_to(folder))


def test_secrets_land_nowhere(repository: Repository) -> None:
    """With MLflow's database at hand, then with a server whose address holds a password."""
    assert not list(holding(repository.path))
    secret = Repository(repository.path, repository.environment | SECRETS)
    force = ("dvc", "repro", "--force", "--single-item")
    said = secret.run(*force, "evaluate@squeezenet1_1")
    assert len(repository.runs()) == 1
    away = Repository(repository.path, secret.environment | {"MLFLOW_TRACKING_URI": AWAY})
    there = away.run(*force, "evaluate@squeezenet1_1")
    assert "127.0.0.1:9" in there  # it was tried, and the address is named without its password
    there += away.run("python", "-m", "wbc", "sync", status=None)
    assert WORD not in said + there
    assert not list(holding(repository.path))
    with closing(sqlite3.connect(repository.path / "mlruns" / "mlflow.db")) as database:
        assert WORD not in "\n".join(database.iterdump())


def test_a_planted_secret_would_be_found(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "log").write_bytes(b"\0" + SECRETS["KAGGLE_KEY"].encode())
    assert list(holding(tmp_path)) == [".hidden/log"]
