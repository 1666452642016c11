"""A team's server over HTTP: PostgreSQL, S3 and basic-auth where they are installed (docs/team.md).

What is not installed is left out of the server: SQLite, a folder and no password take its place.
"""

import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_home import ARCHITECTURE, DVC_LOCK, write_model
from tests.pipeline.conftest import Repository, commit
from tests.team_server import ADMIN, BUCKET_KEY, Server, installed, mlflow_server
from wbc.errors import UserError
from wbc.model import model_sha256
from wbc.registry import challenger
from wbc.tracking import publish as tracking_publish
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
SECONDS = 2  # MLFLOW_HTTP_REQUEST_TIMEOUT here; 10 by default
PREDICT = """
import sys, mlflow, pandas as pd
from pathlib import Path
model = mlflow.pyfunc.load_model("models:/wbc-classifier@challenger")
rows = pd.read_csv(sys.argv[1], keep_default_na=False)[:20]
images = [(Path("data/raw") / path).read_bytes() for path in rows["path"]]
answers = model.predict(pd.DataFrame({"image": images}))
assert list(answers["class"]) == list(rows["predicted"]), answers
print("the same answers")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def user(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of somebody's who uses the server, with nothing in it but dvc.lock."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)  # for the way back from where `_home` goes
    return _home(tmp_path / "home", monkeypatch.setenv)


def _home(path: Path, setenv: Callable[[str, str], object]) -> Path:
    path.mkdir()
    (path / "dvc.lock").write_text(DVC_LOCK)
    setenv("DVC_ROOT", str(path))
    os.chdir(path)
    return path


def _runs(sha256: str) -> list[Any]:
    store = tracking_store.connect()
    return list(store.client.search_runs([store.experiment_id], f"tags.model_sha256 = '{sha256}'"))


def _versions(sha256: str) -> list[Any]:
    client = tracking_store.connect().client
    return list(client.search_model_versions(f"tags.model_sha256 = '{sha256}'"))


def test_pushed_cloned_pulled_and_published(
    finished: Repository, repository: Repository, server: Server, tmp_path: Path
) -> None:
    """Data and models go by DVC's remote in S3, runs and versions by the server; and then predict.

    The clone knows the key to DVC's bucket and none to MLflow's: the server passes files on.
    """
    if not server.s3 or not installed("dvc_s3"):
        pytest.skip("no S3 server or no dvc-s3 here: pip install -r requirements-team.txt")
    repository.run("dvc", "remote", "add", "--default", "team", "s3://dvc/wbc")
    repository.run("dvc", "remote", "modify", "team", "endpointurl", server.s3)
    commit(repository, "a remote")
    clone = Repository(tmp_path / "elsewhere", {**repository.environment, **server.environment})
    repository.run("git", "clone", "-q", str(repository.path), str(clone.path))
    for each in (repository, clone):
        for option, value in zip(
            ("access_key_id", "secret_access_key"), BUCKET_KEY.values(), strict=True
        ):
            each.run("dvc", "remote", "modify", "--local", "team", option, value)
    assert "pushed" in repository.run("dvc", "push")
    assert not (clone.path / "models").exists()
    clone.run("dvc", "pull")

    assert f"{NAME}: published as run" in clone.run("python", "-m", "wbc", "sync")
    assert "is there already" in clone.run("python", "-m", "wbc", "sync")

    (clone.path / "predict.py").write_text(PREDICT)
    clone.environment |= {"AWS_ACCESS_KEY_ID": "", "AWS_EC2_METADATA_DISABLED": "true"}
    said = clone.run("python", "predict.py", f"reports/{NAME}/predictions.csv")
    assert "the same answers" in said


def test_a_server_that_falls_silent_costs_training_a_bounded_time(
    user: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two tries when it is noticed and one short question at the end: 3 timeouts, not one an epoch.

    Afterwards `publish` completes the same run.
    """
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SECONDS))
    outputs = write_model(user, seed=21)
    sha256 = model_sha256(outputs[0])
    with caplog.at_level(logging.WARNING, "wbc"):
        with tracking.training_run(ARCHITECTURE, {"seed": 21}, "a CPU") as run:
            run.log_epoch(1, {"train/loss": 1.5})
            server.freeze()
            started = time.monotonic()
            for epoch in range(2, 30):
                run.log_epoch(epoch, {"train/loss": 1.0})
            run.finish(outputs[0])
        tracking_end = time.monotonic()
        assert tracking_end - started < 3 * SECONDS + 1
        assert len(caplog.records) == 1 and "sync` publishes" in caplog.text
        tracking.publish(ARCHITECTURE, *outputs)
        assert challenger.propose_challenger(sha256, "val/macro_f1", 0.1, "cells")
        assert time.monotonic() - tracking_end < 2 * SECONDS + 1
    server.thaw()

    assert _runs(sha256) == []  # it could not even be told which model this is
    tracking.publish(ARCHITECTURE, *outputs)
    [completed] = _runs(sha256)
    assert completed.info.status == "FINISHED"
    assert completed.data.params["seed"] == "21"
    history = tracking_store.connect().client.get_metric_history(
        completed.info.run_id, "epoch/train/loss"
    )
    assert sorted((point.step, point.value) for point in history) == [(1, 1.5), (2, 1.25)]
    assert completed.data.tags["recorded"] == "live"  # the very run that training had begun
    assert not any((user / "mlruns" / "open_runs").iterdir())


def test_a_server_that_goes_away_in_the_middle_of_a_repro_loses_nothing(
    repository: Repository, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.environment = {
        **repository.environment,
        **server.environment,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(SECONDS),
    }
    repository.set(train__epochs=4, train__patience=4, train__label_smoothing=0.05)
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=repository.path,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "epoch 1/4" in line:
            server.freeze()
    server.thaw()
    said = "".join(lines)
    assert process.wait() == 0, said
    assert "python -m wbc sync` publishes them later" in said and "Traceback" not in said

    assert f"{NAME}: published as run" in repository.run("python", "-m", "wbc", "sync")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    [run] = _runs(model_sha256(repository.path / "models" / NAME))
    assert run.info.status == "FINISHED" and run.data.tags["recorded"] == "live"
    assert run.data.metrics["test_a/macro_f1"]
    assert len(_versions(run.data.tags["model_sha256"])) == 1
    assert "is there already" in repository.run("python", "-m", "wbc", "sync")


def _publish_at_once(folder: Path, number: int, barrier: Any) -> None:
    """What somebody at another machine does: no file of theirs is locked by others."""
    home = _home(folder / str(number), os.environ.__setitem__)
    for seed in (31, 40 + number):
        outputs = write_model(home, seed=seed)
        sha256 = model_sha256(outputs[0])
        store = tracking_store.connect()
        barrier.wait()
        tracking_publish.publish(store, *outputs, registered=True)
    barrier.wait()
    said = challenger.propose_challenger(sha256, "val/macro_f1", 0.9 + number / 100, "cells")
    assert "challenger" in said and "MLflow" not in said


def test_four_machines_at_once_double_nothing_and_lose_no_challenger(
    user: Path, tmp_path: Path
) -> None:
    client = tracking_store.connect().client
    client.delete_registered_model_alias("wbc-classifier", "challenger")
    forked = multiprocessing.get_context("fork")
    barrier = forked.Barrier(4, timeout=60)
    processes = [
        forked.Process(target=_publish_at_once, args=(tmp_path, number, barrier))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]

    same = model_sha256(write_model(user, seed=31)[0])
    assert len(_runs(same)) == len(_versions(same)) == 1
    own = [model_sha256(write_model(user, seed=40 + number)[0]) for number in range(4)]
    numbers = [[version.version for version in _versions(each)] for each in own]
    assert [len(each) for each in numbers] == [1, 1, 1, 1]
    holder = client.get_registered_model("wbc-classifier").aliases["challenger"]
    assert [str(holder)] == [str(number) for number in numbers[3]]  # 0.93, the best


def test_a_wrong_password_and_a_readers_wish_are_a_sentence_each(
    user: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "MLFLOW_TRACKING_USERNAME" not in server.environment:
        pytest.skip("no Flask-WTF here: pip install -r requirements-team.txt")
    from mlflow.server import get_app_client

    tracking_store.connect()
    write_model(user, seed=51)
    get_app_client("basic-auth", tracking_uri=server.url).create_user("ann", "twelve-letters")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(UserError, match=f"refuses {ADMIN} with this password: set MLFLOW_TRAC"):
        tracking.sync(user)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "twelve-letters")
    with pytest.raises(UserError, match=r"Permission denied") as refused:
        tracking.sync(user)
    assert "\n" not in str(refused.value)
