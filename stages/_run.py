"""How every stage starts: plain log lines, a user's mistake as one sentence, no traceback."""

import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from wbc.errors import UserError


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; a UserError is printed in one sentence and ends with status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped by Ctrl-C; run the same command again to go on")


@contextmanager
def scratch_dir(name: str, *belongs_to: str) -> Iterator[Path]:
    """A folder below the repository's ignored scratch/ that survives until its work has succeeded.

    It lies in the repository that stays, also where DVC runs a stage in a temporary copy. The same
    `name` and `belongs_to` (parameters, hashes of inputs, `code_sha256`) find the same folder, so
    that interrupted work can be continued; anything else finds another.

    Raises:
        UserError: another process is at this very work.
    """
    key = hashlib.sha256("\0".join(belongs_to).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("DVC_ROOT", ".")).absolute() / "scratch" / f"{name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"Another process is doing the same ({name}) already and holds {lock.lock_file}; wait"
            " for it, or end it if it was left over, and run the same command again."
        ) from None
    try:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()


def code_sha256() -> str:
    """A hash of all code that a stage could run, so that other code never continues its work."""
    here = Path(__file__).resolve().parents[1]
    paths = sorted((*here.glob("wbc/**/*.py"), *here.glob("stages/*.py")))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(here).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
