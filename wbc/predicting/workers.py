"""Processes that prepare pictures: one a core, there at once, gone with the main process.

They are forks, as torch's DataLoader makes its workers on Linux: a new interpreter would import for
seconds what this one has. They touch no GPU and run one thread. Each has a pipe of its own, so one
that is killed is noticed at once, whatever it was at, and all may be killed at any moment. Signals
are the main process's to answer, also those that a terminal or a cluster sends to all of them.
"""

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import torch
from joblib import cpu_count

from wbc.errors import UserError
from wbc.processes import waiting

Work = Callable[[Any], Any]
Submit = Callable[[Any], "Future[Any]"]


class WorkerGone(Exception):  # noqa: N818
    """A process was killed from outside."""


@contextlib.contextmanager
def workers(work: Work) -> Iterator[Submit]:
    """A function that gives a task to as many processes as there are cores; they do `work` with it.

    A future raises WorkerGone, or what `work` raised.

    Raises:
        UserError: the processes cannot be started.
    """
    processes, idle = list[Any](), SimpleQueue[Connection]()
    threads = ThreadPoolExecutor(cpu_count())  # each waits for one process
    try:
        with waiting.held():  # what a signal raises while a process forks would be lost
            for connection in _start(work, processes):
                idle.put(connection)
        yield lambda task: threads.submit(_ask, idle, task)
    finally:
        for process in processes:
            process.kill()
        threads.shutdown(wait=True, cancel_futures=True)
        for process in processes:
            process.join()


def _start(work: Work, processes: list[Any]) -> list[Connection]:
    """This side's ends of the pipes; `processes` gets every process that has been started."""
    forks = sys.platform == "linux"
    context: Any = multiprocessing.get_context("fork" if forks else "spawn")
    ours = list[Connection]()
    for _ in range(cpu_count()):
        here, there = context.Pipe()
        ours.append(here)
        arguments = (work, there, list(ours) if forks else [])
        process = context.Process(target=_serve, args=arguments, daemon=True)
        try:
            process.start()
        except OSError as error:
            raise UserError(
                f"The processes that prepare pictures cannot be started ({error.strerror}); free"
                " some memory or allow more processes (ulimit -u), and run the same command again."
            ) from None
        processes.append(process)
        there.close()  # so that nobody but the process has it
    return ours


def _serve(work: Work, connection: Connection, inherited: Sequence[Connection]) -> None:
    """A process's life: until the main one has closed its end, by its own death too."""
    for other in inherited:
        other.close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)  # after a fork there are no others
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_done(partial(work, connection.recv())))


def _done(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:  # of the main process's business, as if it had done the work
        return error


def _ask(idle: SimpleQueue[Connection], task: Any) -> Any:
    """What a process makes of a task."""
    connection = idle.get()
    try:
        connection.send(task)
        result = connection.recv()
    except (EOFError, OSError):
        raise WorkerGone from None
    finally:
        idle.put(connection)
    if isinstance(result, Exception):
        raise result
    return result
