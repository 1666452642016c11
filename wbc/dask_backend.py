"""joblib's dask backend with a cluster that is really there, and without waiting for ever.

Imported only where preprocess.backend is dask.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

import dask
from distributed import Client, KilledWorker
from joblib import parallel_config
from joblib._dask import DaskDistributedBackend

from wbc.errors import UserError, one_line
from wbc.spreading import SOFTWARE, check_worker

TIMEOUT: Final = 30  # seconds, for a scheduler to answer and for its first worker to join


@contextmanager
def dask_workers() -> Iterator[None]:
    """Within this, joblib.Parallel works on the cluster that dask's own configuration names.

    Raises:
        UserError: no scheduler is named or answers, it has no workers, they cannot import this
            package or have another version of it, or they die.
    """
    address = dask.config.get("scheduler-address", None)
    if not address:
        raise UserError(
            "preprocess.backend is dask, but no scheduler is named; set DASK_SCHEDULER_ADDRESS, for"
            " example to tcp://head:8786 (docs/preprocessing.md), or preprocess.backend: loky."
        )
    with _client(address) as client, parallel_config(backend=Backend(client=client)):
        _check_workers(client)
        try:
            yield
        except KilledWorker as error:
            raise UserError(
                f"Dask workers died at their work, most often for want of memory"
                f" ({one_line(error)}); give them more, or fewer threads each, and run the same"
                " command again."
            ) from None


class Backend(DaskDistributedBackend):  # type: ignore[misc]
    """joblib's, mended in two places (joblib 1.6)."""

    def effective_n_jobs(self, n_jobs: int = 1) -> int:
        """Two at least: joblib works in the calling process where there is but one."""
        return max(2, int(super().effective_n_jobs(n_jobs)))

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Any:
        """Tell joblib also of a task that dask gives up; it would wait for its end for ever."""
        future = super().submit(func, callback)

        def report(done: "Future[Any]") -> None:
            if callback and done.exception():
                callback(done)

        future.add_done_callback(report)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """The task's result, or its exception raised."""
        return out.result() if isinstance(out, Future) else super().retrieve_result_callback(out)


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A client of a scheduler that has a worker at least."""
    try:
        client = Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"No dask scheduler answers at {address} ({one_line(error)}); start one with `python -m"
            " dask scheduler`, or correct DASK_SCHEDULER_ADDRESS."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT)
        except TimeoutError:
            raise UserError(
                f"The dask scheduler at {address} has no workers; start some with `python -m"
                f" dask worker {address}` in this repository's folder (docs/preprocessing.md)."
            ) from None
        yield client


def _check_workers(client: Any) -> None:
    """Now, since dask never reports a task whose function a worker cannot import."""
    try:
        client.run(check_worker, SOFTWARE)
    except UserError:
        raise
    except Exception as error:  # dask's own, with the worker's in its words
        raise UserError(
            f"A dask worker cannot import what preprocess needs ({one_line(error)}); start the"
            " workers with `python -m dask worker` in this repository's folder, in an environment"
            " like this one (docs/preprocessing.md)."
        ) from None
