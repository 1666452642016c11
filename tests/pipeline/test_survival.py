"""Training that is killed goes on after its last epoch and ends in the same bytes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.pipeline.conftest import Repository
from wbc.model import model_sha256

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
REPRO = (sys.executable, "-m", "dvc", "repro", "--no-run-cache", f"train@{NAME}")


@pytest.fixture(scope="module")
def undisturbed(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The identity of the model that an undisturbed training ends in."""
    path = tmp_path_factory.mktemp("undisturbed") / "clone"
    finished.run("git", "clone", "-q", str(finished.path), str(path))
    repository = Repository(path, finished.environment)
    repository.run("dvc", "cache", "dir", "--local", str(finished.path / ".dvc" / "cache"))
    repository.run("dvc", "checkout")
    longer(repository)
    repository.run(*REPRO)
    return model_sha256(path / "models" / NAME)


def longer(repository: Repository) -> None:
    repository.set(train__epochs=5, train__label_smoothing=0.123)


def start(repository: Repository, until: str) -> tuple["subprocess.Popen[str]", psutil.Process]:
    """`dvc repro` up to the line of its log that holds `until`, and its training process."""
    process = subprocess.Popen(
        REPRO,
        cwd=repository.path,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if until in line:
            break
    else:
        raise AssertionError("".join(lines))
    family = psutil.Process(process.pid).children(recursive=True)
    trainer = next(p for p in family if "stages.train" in p.cmdline() and "python" in p.name())
    return process, trainer


def kill_all(process: "subprocess.Popen[str]", _trainer: psutil.Process) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def kill_dvc(process: "subprocess.Popen[str]", _trainer: psutil.Process) -> None:
    process.kill()


def preempt(_process: "subprocess.Popen[str]", trainer: psutil.Process) -> None:
    trainer.terminate()


@pytest.mark.parametrize(
    ("end", "status"), [(kill_all, "RUNNING"), (kill_dvc, "KILLED"), (preempt, "KILLED")]
)
def test_a_killed_training_continues_to_the_same_bytes(
    repository: Repository,
    undisturbed: str,
    end: Callable[["subprocess.Popen[str]", psutil.Process], None],
    status: str,
) -> None:
    longer(repository)
    process, trainer = start(repository, until="epoch 2/5")
    end(process, trainer)
    process.wait(60)
    for _ in range(300):
        if not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    [run] = repository.runs()
    assert run.info.status == status

    output = repository.run(*REPRO)

    epochs = [n for n in (1, 2, 3, 4) if f"interrupted training after epoch {n}" in output]
    assert epochs, output
    assert model_sha256(repository.path / "models" / NAME) == undisturbed
    [run] = repository.runs()
    assert run.info.status == "FINISHED"
    history = repository.mlflow().get_metric_history(run.info.run_id, "epoch/val/loss")
    assert sorted({point.step for point in history}) == [1, 2, 3, 4, 5]
    assert left_over(repository.path) == []


def test_another_parameter_never_continues_it(repository: Repository) -> None:
    longer(repository)
    kill_all(*start(repository, until="epoch 2/5"))
    repository.set(train__label_smoothing=0.2)
    assert "interrupted training" not in repository.run(*REPRO)
    [first, second] = sorted(repository.runs(), key=lambda run: run.info.start_time)
    assert (first.info.status, second.info.status) == ("KILLED", "FINISHED")


def left_over(root: Path) -> list[str]:
    return [path.name for path in (root / "scratch").glob("train-*") if path.is_dir()]
