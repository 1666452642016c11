"""DVC's experiments: queue them, let workers run them, read what they made.

Everything goes through DVC's command line except reading files of an experiment, which is
`dvc.api`'s.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wbc.errors import UserError

_DONE: Final = ("Success", "Failed")
_TRIES: Final = 3  # to take entries out of a queue that workers serve meanwhile
_STOP_SECONDS: Final = 60.0  # that killed experiments are given to end; then they are left to it


@dataclass(frozen=True)
class Queue:
    """DVC's queue at one moment."""

    states: dict[str, str]  # experiment -> Queued, Running, Success or Failed; its newest entry
    workers: int  # processes that serve the queue, busy or not

    def open(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that wait or run."""
        return [name for name in names if self.states.get(name, "Failed") not in _DONE]


def starting_point(repository: Path) -> str:
    """The commit that experiments start from.

    Raises:
        UserError: there is none, or the files that git follows differ from it: then nobody could
            say later what an experiment was made of, and `dvc exp apply` would overwrite it.
    """
    commit = _git(repository, "rev-parse", "--verify", "-q", "HEAD").strip()
    if not commit:
        raise UserError(
            "DVC's experiments start from a git commit, and there is none here; type:"
            " git init && git add . && git commit -m 'Begin'"
        )
    status = _git(repository, "status", "--porcelain", "--untracked-files=no")
    changed = [line[3:] for line in status.splitlines()]
    if (repository / "dvc.lock").is_file() and not _git(repository, "ls-files", "dvc.lock"):
        changed.append("dvc.lock")
    if changed:
        shown = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
        raise UserError(
            f"A sweep starts from a commit, and {shown} {'is' if len(changed) == 1 else 'are'} not"
            f" committed; type: git add {' '.join(changed[:3])} && git commit"
        )
    return commit


def enqueue(repository: Path, name: str, settings: dict[str, str]) -> None:
    """Put an experiment with these settings of params.yaml into the queue."""
    words = [word for key, value in settings.items() for word in ("-S", f"{key}={value}")]
    _dvc(repository, "exp", "run", "--queue", "--name", name, *words)


def start_workers(repository: Path, jobs: int) -> None:
    """Let `jobs` processes serve the queue until it is empty; returns at once."""
    _dvc(repository, "queue", "start", "-j", str(jobs))


def queue(repository: Path) -> Queue:
    """Read `dvc queue status`: a table `Task Name Created Status`, newest first, and a sentence."""
    table, _, workers = _dvc(repository, "queue", "status").partition("Worker status:")
    rows = [line.split() for line in table.splitlines()[1:]]
    states = {row[1]: row[-1] for row in reversed(rows) if len(row) >= 4}
    counts = [int(word) for word in workers.replace(",", " ").split() if word.isdigit()]
    return Queue(states, sum(counts))


def finished(repository: Path) -> set[str]:
    """The experiments of the commit that is checked out which DVC has the results of."""
    return set(_dvc(repository, "exp", "list", "--name-only").split())


def log(repository: Path, name: str) -> str:
    """What the experiment printed; "" if DVC has not kept it."""
    return _dvc(repository, "queue", "logs", name, check=False)


def stop(repository: Path, names: Sequence[str]) -> None:
    """End the running experiments as Ctrl-C would, and take all of `names` out of the queue.

    Not `dvc queue stop --kill`, whose SIGKILL leaves the training itself alive. Other people's
    tasks in the queue are left alone; the workers end when nothing is left for them.
    """
    now = queue(repository)
    waiting = [name for name in now.open(names) if now.states[name] == "Queued"]
    forget(repository, waiting)
    running = queue(repository).open(names)
    if running:
        _dvc(repository, "queue", "kill", *running, check=False)
        _await_end(repository, running)


def _await_end(repository: Path, names: Sequence[str]) -> None:
    """`dvc queue kill` returns at once, but what it ends saves a checkpoint and cleans up first."""
    limit = time.monotonic() + _STOP_SECONDS
    while queue(repository).open(names) and time.monotonic() < limit:
        time.sleep(0.5)


def forget(repository: Path, names: Sequence[str]) -> None:
    """Take entries out of the queue's list, but those that run; results that exist stay.

    DVC removes nothing where it does not know one of the names, or where that has just been begun.
    """
    for _ in range(_TRIES if names else 0):
        states = queue(repository).states
        there = [name for name in names if states.get(name, "Running") != "Running"]
        if not there:
            return
        _dvc(repository, "queue", "remove", *there, check=False)


class Results:
    """The files of a finished experiment, from git and DVC's cache; the workspace stays."""

    def __init__(self, repository: Path, name: str) -> None:
        from dvc.api import DVCFileSystem

        self._files: Any = DVCFileSystem(str(repository), rev=name)

    def text(self, path: str) -> str:
        content: str = self._files.read_text(path, encoding="utf-8")
        return content

    def copy(self, path: str, target: Path) -> None:
        self._files.get_file(path, str(target))


def _dvc(repository: Path, *arguments: str, check: bool = True) -> str:
    """What DVC prints.

    Raises:
        UserError: DVC failed, with its own words.
    """
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait for work do not take a core from others
    }
    # Files and no pipes: workers inherit them, and a pipe would be waited for until they end.
    scratch = tempfile.TemporaryFile
    with _undisturbed(), scratch("w+") as out, scratch("w+") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=repository,
            env=environment,
            stdout=out,
            stderr=errors,
            start_new_session=True,
            check=False,
        )
        out.seek(0)
        errors.seek(0)
        printed, complaint = out.read(), errors.read().strip().splitlines()
    if check and done.returncode:
        reason = complaint[-1].removeprefix("ERROR: ") if complaint else "it gave no reason"
        raise UserError(f"`dvc {' '.join(arguments)}` failed: {reason}")
    return printed


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold Ctrl-C back until DVC has ended: while it queues, git's HEAD and stash are elsewhere."""
    caught = []
    before = signal.signal(signal.SIGINT, lambda *_: caught.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


def _git(repository: Path, *arguments: str) -> str:
    """What git prints; "" where it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=repository, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
