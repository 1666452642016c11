"""`python -m wbc sweep` with DVC's real queue and workers, on a stage of seconds.

The stage trains nothing: it writes what train and evaluate write, so that the queue, the names,
the ranking, the stop and `dvc exp apply` are tried in seconds. test_repro.py queues real stages.
"""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.conftest import Repository, commit, make_repository

STAGE = """
import json, sys, time
from pathlib import Path
from ruamel.yaml import YAML

train = YAML(typ="safe").load(Path("params.yaml").read_text())["train"]
if train["learning_rate"] == 0.003:
    sys.exit("error: 0.003 is too fast.")
time.sleep(train["patience"] - 5)  # 0 as params.yaml has it
models, reports = Path("models/googlenet"), Path("reports/googlenet")
models.mkdir(parents=True, exist_ok=True)
reports.mkdir(parents=True, exist_ok=True)
score = 0.5 + 100 * train["learning_rate"]
macro_f1 = {"value": score, "low": score - 0.05, "high": score + 0.05}
(models / "model.json").write_text(json.dumps({"start": "random", "train": train}))
(models / "model.safetensors").write_bytes(b"weights")
(reports / "metrics.json").write_text(json.dumps({"val": {"macro_f1": macro_f1}}))
"""
PIPELINE = """
stages:
  train:
    cmd: python stage.py
    params: [train]
    outs: [models/googlenet/model.json, models/googlenet/model.safetensors]
    metrics: [reports/googlenet/metrics.json]
"""
GRID = "train.learning_rate=0.001,0.002"

pytestmark = pytest.mark.pipeline


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """The project with a pipeline of one quick stage, which has run."""
    repository = make_repository(tmp_path / "toy")
    (repository.path / "stage.py").write_text(STAGE)
    (repository.path / "dvc.yaml").write_text(PIPELINE)
    commit(repository, "toy")
    repository.run("dvc", "repro")
    commit(repository, "begin")
    return repository


def test_a_grid_is_run_ranked_and_applied(repository: Repository) -> None:
    head = repository.run("git", "rev-parse", "HEAD")

    output = repository.run("python", "-m", "wbc", "sweep", f"{GRID},0.003", status=1)

    best = "learning_rate=0.002"
    table = output[output.index("val/macro_f1") :]
    assert table.index(f"{best} ") < table.index("learning_rate=0.001 ")
    assert "0.7000 0.650 to 0.750" in output
    assert f"dvc exp apply {best}\n  python -m wbc promote" in output
    assert "1 of 3 experiments failed. learning_rate=0.003: 0.003 is too fast." in output
    assert "dvc queue logs learning_rate=0.003" in output
    assert repository.run("git", "status", "--porcelain") == ""
    assert repository.run("git", "rev-parse", "HEAD") == head
    assert repository.run("git", "symbolic-ref", "HEAD") == "refs/heads/main\n"

    again = repository.run("python", "-m", "wbc", "sweep", GRID)
    assert "2 of them there already" in again and "running" not in again

    repository.run("dvc", "exp", "apply", best)
    assert "learning_rate: 0.002" in (repository.path / "params.yaml").read_text()
    assert repository.ran(repository.run("dvc", "repro")) == []
    refused = repository.run("python", "-m", "wbc", "sweep", GRID, status=1)
    assert "git add dvc.lock params.yaml && git commit" in refused


def test_ctrl_c_stops_the_workers_and_the_same_command_goes_on(repository: Repository) -> None:
    words = [sys.executable, "-m", "wbc", "sweep", "train.batch_size=8,16", "train.patience=65"]
    sweep = subprocess.Popen(
        words, cwd=repository.path, env=repository.environment, stdout=subprocess.PIPE, text=True
    )
    assert sweep.stdout is not None
    for line in sweep.stdout:
        if "running" in line:
            break
    time.sleep(1)
    sweep.send_signal(signal.SIGINT)

    assert "the same command goes on" in sweep.stdout.read().replace("\n", " ").lower()
    assert sweep.wait(60) == 130
    status = repository.run("dvc", "queue", "status")
    assert "Running" not in status and "Queued" not in status
    assert repository.run("git", "status", "--porcelain") == ""
    shutil.rmtree(repository.path / "models")  # nothing writes there any more
