"""Workers end with the process that they work for, and one that is killed is one sentence."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from joblib import Parallel, delayed

from wbc.errors import UserError
from wbc.workers import local_workers

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
import time
from joblib import Parallel, delayed
from wbc.workers import local_workers
with local_workers():
    tasks = (delayed(time.sleep)(0.1) for _ in range(999))
    for _ in Parallel(n_jobs=2, return_as="generator")(tasks):
        print("at work", flush=True)
"""


def test_workers_end_with_a_process_that_is_killed() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "at work\n"
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    begin = time.monotonic()
    while any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers):
        assert time.monotonic() - begin < 20, workers  # loky's own stay for 300 s
        time.sleep(0.1)


def kill_self(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_for_want_of_memory_is_one_sentence() -> None:
    with (
        pytest.raises(UserError, match="want of memory; free some and run the same"),
        local_workers(),
    ):
        Parallel(n_jobs=2)(delayed(kill_self)(number) for number in range(2))
