"""Trainings of several processes that tests start without DVC and kill."""

import signal
import subprocess
import sys

import psutil

from tests.pipeline.conftest import Repository


def kill_training(repository: Repository, architecture: str, *said: str) -> None:
    """End the process that started the others by SIGKILL, once its log has held all words in turn.

    Returns when the two others have ended too.
    """
    launcher = subprocess.Popen(
        [sys.executable, "-m", "stages.train", architecture],
        cwd=repository.path,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert launcher.stdout
    lines = iter(launcher.stdout)
    for words in said:
        assert any(words in line for line in lines), words
    processes = psutil.Process(launcher.pid).children(recursive=True)
    launcher.send_signal(signal.SIGKILL)
    launcher.communicate(timeout=60)
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert len(processes) == 2 and not alive
