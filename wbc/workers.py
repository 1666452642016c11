"""joblib's workers on this machine, which do not outlive the process that they work for."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from joblib import parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from wbc.errors import UserError


@contextmanager
def local_workers() -> Iterator[None]:
    """Within this, joblib.Parallel works in processes of this machine (loky).

    loky's own go on for five minutes where the process that they work for is killed, and write what
    they were given beside the next run.

    Raises:
        UserError: a worker was killed.
    """
    with parallel_config(backend="loky", initializer=_end_with, initargs=(os.getpid(),)):
        try:
            yield
        except TerminatedWorkerError:
            raise UserError(
                "A worker process was killed from outside, most often for want of memory; free some"
                " and run the same command again."
            ) from None


def _end_with(parent: int) -> None:
    """A worker's start."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int, seconds: float = 0.5) -> None:
    while os.getppid() == parent:
        time.sleep(seconds)
    os._exit(1)
