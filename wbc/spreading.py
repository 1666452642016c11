"""On which processes work is done: all cores of this machine (loky), or a dask cluster's."""

import hashlib
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from joblib import cpu_count

from wbc.errors import UserError
from wbc.workers import local_workers

Software = dict[str, str]  # a module of this package -> its SHA-256; a package -> its version

CELLS_A_WORKER: Final = 500  # starting a worker takes as long as preparing about so many cells
PACKAGES: Final = ("numpy", "pillow", "scipy", "simplejpeg", "torch")  # those that make pixels


def _software() -> Software:
    """What decides about pixels in this process; builds of torch (+cpu, +rocm) count as one."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    code = {f"wbc/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: version(name).split("+")[0] for name in PACKAGES} | code


SOFTWARE: Final = _software()  # at import: a worker that lives on has older code than its disk


@contextmanager
def workers(backend: Literal["loky", "dask"], num_cells: int) -> Iterator[int]:
    """Within this, joblib.Parallel works on `backend`; the value is the n_jobs to give it.

    Raises:
        UserError: the backend cannot do the work.
    """
    if backend == "dask":
        try:
            from wbc.dask_backend import dask_workers
        except ImportError:
            raise UserError(
                "preprocess.backend is dask, but dask is not installed; type: pip install -r"
                " requirements-dask.txt, or set preprocess.backend: loky."
            ) from None
        with dask_workers():
            yield -1
        return
    with local_workers():
        yield min(cpu_count(), max(1, math.ceil(num_cells / CELLS_A_WORKER)))


def check_worker(expected: Software, *folders: Path) -> None:
    """That this process makes the pixels which the one that sends the work would make.

    Raises:
        UserError: other code or packages run here, or one of the folders is not seen from here.
    """
    here = socket.gethostname()
    other = sorted(name for name in expected if SOFTWARE.get(name) != expected[name])
    if other:
        raise UserError(
            f"The worker on {here} runs another version of {', '.join(other[:3])}; install there"
            " what requirements.txt pins, check out the same commit, and restart the worker."
        )
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"The worker on {here} does not see {folder}; cluster workers need the repository"
                " on a file system that all machines share, under the same path."
            )
