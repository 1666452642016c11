"""Commands whose changes of the disk are counted, and which are killed at one (events.c)."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests import preforked

SOURCE = Path(__file__).with_name("events.c")
SECONDS = 300  # for one command


@dataclass(frozen=True)
class Ended:
    """How a command ended; `events` are the changes that it made, one line each, if asked for."""

    status: int  # -9: killed
    said: str
    events: list[str]


def compiler() -> str | None:
    return shutil.which("cc")


def build(folder: Path) -> Path:
    """Compile events.c; the library to preload."""
    library = folder / "events.so"
    cc = compiler()
    assert cc, "there is no C compiler (cc) here"
    command = [cc, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


@dataclass(frozen=True)
class Killer:
    """Runs commands in `workspace`, with the library in every process that they start.

    `python` is the one that forks (tests/preforked), or the real one: a fork of a process that
    has the library loaded has it too, and starts seconds earlier.
    """

    workspace: Path
    library: Path
    own: Path  # a folder for the counter and the log
    environment: dict[str, str]

    def run(self, command: tuple[str, ...], kill_at: int | None = None) -> Ended:
        """`command` with its events counted, killed at event `kill_at` (from 1) if that is given.

        `python` and `dvc` are those of this environment.
        """
        counter, log = self.own / "count", self.own / "log"
        counter.write_bytes(bytes(8))
        log.write_bytes(b"")
        armed = {
            "LD_PRELOAD": str(self.library),
            "WBC_FAULTS_ROOT": str(self.workspace),
            "WBC_FAULTS_COUNT": str(counter),
            "WBC_FAULTS_LOG": str(log),
        }
        if kill_at is not None:
            armed["WBC_FAULTS_KILL"] = str(kill_at)
        ended = self.quietly(command, armed)
        return Ended(ended.status, ended.said, log.read_text("utf-8", "replace").splitlines())

    def quietly(self, command: tuple[str, ...], armed: dict[str, str] | None = None) -> Ended:
        """As a user runs it; waits until all that it started has ended."""
        python = shutil.which("python", path=self.environment["PATH"]) or sys.executable
        programs = {"python": [python], "dvc": [python, "-m", "dvc"]}
        done = subprocess.run(
            [*programs.get(command[0], [command[0]]), *command[1:]],
            cwd=self.workspace,
            env={**self.environment, **(armed or {})},
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
        )
        return Ended(done.returncode, done.stdout, [])


def forking(folder: Path, library: Path) -> Path:
    """A folder with a `python` that forks a process which has the library loaded, asleep."""
    preforked.start(folder, os.getpid(), {"LD_PRELOAD": str(library)})
    return folder


def choose(events: list[str], points: int) -> list[int]:
    """Numbers of events to kill at, from 1: half of them at even distances over all, half at even
    distances over the moments right before and right after something becomes valid (a rename, or
    SQLite's journal goes, which is its commit)."""
    last = len(events)
    valid = [i for i, line in enumerate(events, 1) if _makes_valid(line)]
    around = sorted({n for i in valid for n in (i, i + 1) if n <= last})
    chosen = set(_spread(list(range(1, last + 1)), (points + 1) // 2))
    chosen |= set(_spread([n for n in around if n not in chosen], points - len(chosen)))
    rest = [n for n in range(1, last + 1) if n not in chosen]
    return sorted(chosen | set(_spread(rest, points - len(chosen))))


def _makes_valid(line: str) -> bool:
    name, _, path = line.partition(" ")
    return name.startswith(("rename", "link")) or (name == "unlink" and path.endswith("-journal"))


def _spread(numbers: list[int], points: int) -> list[int]:
    points = min(points, len(numbers))
    return [numbers[(2 * i + 1) * len(numbers) // (2 * points)] for i in range(points)]
