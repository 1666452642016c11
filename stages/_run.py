"""How every stage starts: plain log lines, a user's mistake as one sentence, no traceback."""

import hashlib
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from wbc import disk, processes
from wbc.errors import UserError, lacking_memory

log = logging.getLogger(__name__)


def run(main: Callable[[], None], quiet: bool = False) -> None:
    """Run a stage's `main`; what a user can mend is printed in one sentence, with status 1.

    quiet: whoever started this process says itself that a signal ended it.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # by stages/__init__.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    processes.end_with_dvc()  # else an orphan would go on writing beside the next `dvc repro`
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more would end in a traceback of Python
        if quiet:
            sys.exit(128 + signal.SIGINT)
        sys.exit("stopped by Ctrl-C; run the same command again to go on")
    except SystemExit as ended:
        if ended.code in (128 + signal.SIGTERM, 128 + signal.SIGHUP) and not quiet:
            name = signal.Signals(int(ended.code) - 128).name
            log.warning("stopped by %s; run the same command again to go on", name)
        raise
    except Exception as error:
        sentence = _about_memory(error) or _about_files(error)
        if not sentence:
            raise
        sys.exit(f"error: {sentence}")


def _about_memory(error: Exception) -> str:
    """What to do if memory is not enough; else ""."""
    if not (place := lacking_memory(error)):
        return ""
    return (
        f"the memory of {place} is not enough for this stage; end other programs or take smaller"
        " batches or pictures (params.yaml), and run the same command again"
    )


def _about_files(error: Exception) -> str:
    """What to do about a full disk, a file that may not be used or one that is gone; else ""."""
    if disk.is_full(error):
        places = (Path.cwd(), _scratch_root(), Path(tempfile.gettempdir()))
        return disk.full_sentence(error, places)
    return disk.refused_sentence(error)


def named_architecture(known: Sequence[str]) -> str:
    """The one that this stage was started for, before it has written anything.

    It is `NAME`, or `--architecture NAME` as dvc.yaml gives it: only so does DVC quote what
    params.yaml holds for the shell. known: those of params.yaml.

    Raises:
        UserError: none is named, or one that the pipeline does not have.
    """
    found = sys.argv[1:]
    if found[:1] == ["--architecture"]:
        del found[0]
    if len(found) != 1 or found[0] not in known:
        raise UserError(
            f"One of the architectures of params.yaml was expected ({', '.join(known)}), not"
            f" {' '.join(found) or 'nothing'}; name one of them, or add it there and run"
            " `dvc repro`."
        )
    return found[0]


@contextmanager
def scratch_dir(name: str, *belongs_to: str) -> Iterator[Path]:
    """A folder below the repository's ignored scratch/ that survives until its work has succeeded.

    It lies in the repository that stays, also where DVC runs a stage in a temporary copy. The same
    `name` and `belongs_to` (parameters, hashes of inputs, `code_sha256`) find the same folder, so
    that interrupted work can be continued; anything else finds another.

    Raises:
        UserError: another process is at this very work.
    """
    folder = scratch_path(name, *belongs_to)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A second, because a lock that its holder is just removing looks held for a moment.
    lock = FileLock(folder.with_suffix(".lock"), timeout=1)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"Another process is doing the same ({name}) already and holds {lock.lock_file}; wait"
            " for it, or end it if it was left over, and run the same command again."
        ) from None
    try:
        done = folder.with_suffix(".done")
        shutil.rmtree(done, ignore_errors=True)  # of one that was killed while it removed it
        folder.mkdir(exist_ok=True)
        yield folder
        # Renamed first: half a folder must never be taken for work to be continued.
        folder.rename(done)
        shutil.rmtree(done, ignore_errors=True)
        # While it is held, so that nobody else can be holding it; filelock sees that it is gone.
        Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def scratch_path(name: str, *belongs_to: str) -> Path:
    """Where `scratch_dir` puts its folder; nothing is created or locked."""
    key = hashlib.sha256("\0".join(belongs_to).encode()).hexdigest()[:16]
    return _scratch_root() / f"{name}-{key}"


def _scratch_root() -> Path:
    return Path(os.environ.get("DVC_ROOT", ".")).absolute() / "scratch"


def code_sha256() -> str:
    """A hash of all code that a stage could run, so that other code never continues its work."""
    here = Path(__file__).resolve().parents[1]
    paths = sorted((*here.glob("wbc/**/*.py"), *here.glob("stages/*.py")))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(here).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
