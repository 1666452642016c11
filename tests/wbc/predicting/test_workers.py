"""wbc.predicting.workers: they start or are one sentence, stop soon, end with their process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice

import psutil
import pytest

from tests.wbc import pictures
from wbc.errors import UserError
from wbc.imaging import Framing
from wbc.predicting import preparing, workers
from wbc.predicting.found import Found
from wbc.predicting.preparing import Ready

FRAMING = Framing(32, "none", 1.5)
CELL = pictures.encoded(pictures.cell())


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (preparing, workers):
        monkeypatch.setattr(module, "cpu_count", lambda: 2)


def endless() -> Iterator[Found]:
    while True:
        yield Found("cell", read=lambda: CELL)


def slow(name: str, data: bytes, framing: Framing) -> list[Ready]:
    time.sleep(0.2)
    return [Ready(name)]


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


@pytest.mark.parametrize("num_taken", [20, 200])
def test_a_worker_that_is_killed_is_one_sentence(num_taken: int) -> None:
    """Also in the middle of an answer, which is larger than a pipe."""
    before = children()
    ready = preparing.prepared(endless(), Framing(200, "none", 1.5), alone=8)
    for _ in range(num_taken):
        next(ready)
    time.sleep(0.2)  # all have answered or wait for somebody to take it
    next(iter(children() - before)).kill()
    with pytest.raises(UserError, match="was killed from outside"):
        for _ in range(1000):
            next(ready)
    assert children() == before


def unable(name: str, data: bytes, framing: Framing) -> list[Ready]:
    if multiprocessing.parent_process():
        raise KeyError(name)
    return [Ready(name)]


def test_what_a_worker_raises_is_raised_here() -> None:
    before = children()
    with pytest.raises(KeyError, match="cell"):
        list(preparing.prepared(islice(endless(), 50), FRAMING, unable, alone=8))
    assert children() == before


def test_signals_are_for_the_main_process_alone() -> None:
    """A terminal that is closed sends SIGHUP to all, a cluster SIGTERM."""
    before = children()
    ready = preparing.prepared(endless(), FRAMING, alone=8)
    for _ in range(20):
        next(ready)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        for worker in children() - before:
            worker.send_signal(number)
    for _ in range(300):
        next(ready)
    ready.close()
    assert children() == before


def test_nobody_waits_for_pictures_that_nobody_wants() -> None:
    ready = preparing.prepared(endless(), FRAMING, slow, alone=8)
    for _ in range(9):
        next(ready)
    begin = time.monotonic()
    ready.close()
    assert time.monotonic() - begin < 1.5  # a task of 8 takes 1.6 s, and five were given out


def test_processes_that_cannot_be_started_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fork, before, calls = os.fork, children(), []

    def failing() -> int:
        calls.append(1)
        if len(calls) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", failing)
    with pytest.raises(UserError, match="cannot be started"):
        list(preparing.prepared(islice(endless(), 50), FRAMING, alone=8))
    assert len(calls) == 2
    gone = psutil.wait_procs(children() - before, timeout=10)
    assert gone[1] == []


MAIN = """
import sys
from tests.wbc.predicting.test_workers import FRAMING, endless
from wbc.predicting import preparing, workers

preparing.cpu_count = workers.cpu_count = lambda: 2
ready = preparing.prepared(endless(), FRAMING, alone=8)
for _ in range(20):
    next(ready)
print("ready", flush=True)
sys.stdin.read()
"""


def test_workers_end_with_a_process_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        workers = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(workers) == 2
    assert psutil.wait_procs(workers, timeout=10)[1] == []
