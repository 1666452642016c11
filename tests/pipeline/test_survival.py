"""Training that is killed goes on after its last epoch and ends in the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.pipeline.conftest import Repository
from tests.small_disk import resize, small_disk
from wbc.model import model_sha256

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
REPRO = ("dvc", "repro", "--no-run-cache", f"train@{NAME}")

EPOCHS = 9  # so many that a trainer which asks for its parent every second cannot reach the last


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
    repository.set(train__epochs=EPOCHS, train__patience=EPOCHS, train__label_smoothing=0.123)


def start(repository: Repository, until: str) -> tuple["subprocess.Popen[str]", psutil.Process]:
    """`dvc repro` up to the line of its log that holds `until`, and its training process.

    In real processes, which a test can find and kill; all else runs in forks.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *REPRO],
        cwd=repository.path,
        env=repository.real().environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_ctrl_c,
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


def _hear_ctrl_c() -> None:
    """What a shell starts in the background is born deaf to it, and so may this test have been."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def kill_all(process: "subprocess.Popen[str]", _trainer: psutil.Process) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def kill_dvc(process: "subprocess.Popen[str]", _trainer: psutil.Process) -> None:
    process.kill()


def preempt(_process: "subprocess.Popen[str]", trainer: psutil.Process) -> None:
    trainer.terminate()


def press_ctrl_c(process: "subprocess.Popen[str]", _trainer: psutil.Process) -> None:
    """As a terminal does: to dvc and all its children; again and again, as people do."""
    for _ in range(10):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (kill_all, "RUNNING", ""),
        (kill_dvc, "KILLED", "dvc has ended, so this stage ends too"),
        (preempt, "KILLED", "stopped by SIGTERM; run the same command again to go on"),
        (press_ctrl_c, "KILLED", "stopped by Ctrl-C; run the same command again to go on"),
    ],
)
def test_a_killed_training_continues_to_the_same_bytes(
    repository: Repository,
    undisturbed: str,
    end: Callable[["subprocess.Popen[str]", psutil.Process], None],
    status: str,
    said: str,
) -> None:
    longer(repository)
    process, trainer = start(repository, until=f"epoch 2/{EPOCHS}")
    end(process, trainer)
    rest = process.communicate(timeout=60)[0]
    assert said in rest
    assert "Traceback" not in rest, rest
    for _ in range(300):
        if not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    [run] = repository.runs()
    assert run.info.status == status

    output = repository.run(*REPRO)

    epochs = [n for n in range(1, EPOCHS) if f"interrupted training after epoch {n}" in output]
    assert epochs, output
    assert model_sha256(repository.path / "models" / NAME) == undisturbed
    [run] = repository.runs()
    assert run.info.status == "FINISHED"
    history = repository.mlflow().get_metric_history(run.info.run_id, "epoch/val/loss")
    assert sorted({point.step for point in history}) == list(range(1, EPOCHS + 1))
    assert left_over(repository.path) == []


def test_a_full_disk_is_one_sentence_and_training_continues_once_there_is_room(
    repository: Repository, undisturbed: str
) -> None:
    longer(repository)
    with small_disk(repository.path / "scratch", 3) as scratch:  # less than one checkpoint
        output = repository.run(*REPRO, status=None)
        assert "Traceback" not in output, output
        assert f"error: No space is left on the disk for {scratch}/train-{NAME}-" in output
        assert not list(scratch.glob("*/*.ckpt*"))

        resize(scratch, 500)
        process, trainer = start(repository, until=f"epoch 2/{EPOCHS}")
        [checkpoint] = scratch.glob("*/last.ckpt")
        filler = scratch / "filler"
        while trainer.is_running() and trainer.status() != psutil.STATUS_ZOMBIE:
            fill(filler, spare=1_000_000)
            time.sleep(0.05)
        rest = process.communicate(timeout=60)[0]
        assert "error: No space is left on the disk" in rest and "Traceback" not in rest, rest
        assert not trainer.is_running()
        assert checkpoint.is_file()

        filler.unlink()
        output = repository.run(*REPRO)
        assert "interrupted training after epoch" in output
        assert model_sha256(repository.path / "models" / NAME) == undisturbed
        assert [path.name for path in scratch.iterdir()] == []


def fill(filler: Path, spare: int) -> None:
    """A file takes all but `spare` bytes of its disk, to which another process writes too."""
    with filler.open("ab") as file, suppress(OSError):  # that process was first: the next call
        room = shutil.disk_usage(filler.parent).free - spare
        if room > 0:
            os.posix_fallocate(file.fileno(), file.tell(), room)


def test_another_parameter_never_continues_it(repository: Repository) -> None:
    longer(repository)
    kill_all(*start(repository, until=f"epoch 2/{EPOCHS}"))
    repository.set(train__label_smoothing=0.2)
    assert "interrupted training" not in repository.run(*REPRO)
    [first, second] = sorted(repository.runs(), key=lambda run: run.info.start_time)
    assert (first.info.status, second.info.status) == ("KILLED", "FINISHED")


def left_over(root: Path) -> list[str]:
    return [path.name for path in (root / "scratch").iterdir()]
