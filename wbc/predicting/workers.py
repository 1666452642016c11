"""Processes that prepare pictures: one a core, there at once, gone with the main process.

They are forks, as torch's DataLoader makes its workers on Linux: a new interpreter would import for
seconds what this one has. They touch no GPU and run one thread. Signals are the main process's to
answer, also those that a terminal or a cluster sends to all of them; it tells them to stop.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from multiprocessing.sharedctypes import RawValue
from typing import Any, Final

import torch
from joblib import cpu_count

from wbc.errors import UserError
from wbc.processes import waiting

_LOOK: Final = 1.0  # seconds between two looks at whether the main process is still there
_stopping: Any = None  # in a worker: a number that the main process sets when it wants no more


@contextlib.contextmanager
def workers() -> Iterator[ProcessPoolExecutor]:
    """As many as there are cores; at the end they stop after the file that they are at.

    Raises:
        UserError: none can be started.
    """
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    stopping = RawValue("b", 0)  # without a lock, which a killed worker would keep
    pool = ProcessPoolExecutor(cpu_count(), context, _begin, (os.getpid(), stopping))
    try:
        _start(pool)
        yield pool
    finally:
        stopping.value = 1
        pool.shutdown(wait=True, cancel_futures=True)


def _start(pool: ProcessPoolExecutor) -> None:
    before = set(multiprocessing.active_children())
    try:
        with waiting.held():  # what a signal raises while a process forks would be lost
            pool.submit(cpu_count)  # any task starts them all
    except OSError as error:
        for child in set(multiprocessing.active_children()) - before:
            child.kill()  # nobody else would end the first ones
        raise UserError(
            f"The processes that prepare pictures cannot be started ({error.strerror}); free some"
            " memory or allow more processes (ulimit -u), and run the same command again."
        ) from None


def is_stopped() -> bool:
    """In a worker: whether nobody wants what it prepares."""
    return _stopping is not None and bool(_stopping.value)


def _begin(main: int, stopping: Any) -> None:
    """A worker's start. torch's threads would wait for the next picture in a busy loop, and after a
    fork there are none."""
    global _stopping
    _stopping = stopping
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(main,), daemon=True).start()


def _end_with(main: int) -> None:
    """Nobody else would end a worker that waits for a task when the main process was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while os.getppid() == main and not wait([parent.sentinel], _LOOK):
        pass
    os._exit(1)
