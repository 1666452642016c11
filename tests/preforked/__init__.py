"""Processes that start at once: forks of one that has imported the libraries already.

A stage imports torch, MLflow and matplotlib for six to nine seconds of a core's time, and tests of
the pipeline start hundreds of stages. `server.py` is one process of a test run that imports what
is *installed* (nothing of this repository), waits at a socket, and forks for each
`python -m MODULE …` or `python -P SCRIPT …` that the `python` in `bin_dir()` is asked for: with the
asker's arguments, environment, folder and files. The asker, `client.py`, passes signals on and ends
as its fork ended.

Everything else, and all of it where an environment differs in what libraries read while they are
imported, is started as ever. Tests that kill processes or look at them take the real interpreter;
WBC_TESTS_REAL_PROCESSES=1 makes all tests do so.
"""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
SHIM = '#!/bin/sh\nexec "{python}" -ISE "{client}" "{socket}" "$@"\n'


@functools.cache
def bin_dir() -> Path | None:
    """The folder whose `python` forks; None where the system cannot, or shall not.

    One server serves all workers of a test run and ends with it.
    """
    if not hasattr(os, "pidfd_open") or os.environ.get("WBC_TESTS_REAL_PROCESSES"):
        return None
    shared = "PYTEST_XDIST_TESTRUNUID" in os.environ
    owner = os.getppid() if shared else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"wbc-preforked-{owner}"
    with FileLock(f"{folder}.lock"):
        if not (folder / "python").is_file():
            start(folder, owner)
    return folder


def start(folder: Path, owner: int, more: dict[str, str] | None = None) -> None:
    """Make `folder` with a `python` whose server ends with the process `owner`.

    more: for the environment of the server.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-c", "import server; server.main()", str(folder), str(owner)]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONHASHSEED": "random"}
    environment |= more or {}
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert server.stdout
    assert server.stdout.readline() == b"ready\n", (folder / "log.txt").read_text()
    shim = folder / "python"
    words = {"python": sys.executable, "client": HERE / "client.py", "socket": folder / "socket"}
    shim.write_text(SHIM.format(**words), encoding="utf-8")
    shim.chmod(0o700)
