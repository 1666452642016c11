"""Processes: who trains, whether it still lives, and how it ends: in order, or with its `dvc`."""

import contextlib
import hashlib
import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

log = logging.getLogger(__name__)

SHELLS: Final = frozenset({"sh", "dash", "bash", "zsh", "ash", "ksh", "fish"})

# A cluster's preemption, a terminal that is closed, Ctrl-C.
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def own_name() -> str:
    """This process, told apart from every other one on any machine; names no host in clear."""
    return _name(psutil.Process())


def is_dead(name: str) -> bool:
    """Whether the process with this `own_name` ran on this machine and is no more."""
    host, _, rest = name.partition(":")
    number, _, _ = rest.partition(":")
    if host != _host() or not number.isdigit():
        return False  # of another machine: nothing can be said
    try:
        return _name(psutil.Process(int(number))) != name
    except psutil.NoSuchProcess:
        return True


def _exception(number: int) -> BaseException:
    """What a signal means to a stage."""
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


class Waiting:
    """A first signal that `signals_raise` hears waits for the work to come to a point to save at.

    A second one does not wait: whoever is impatient loses what was done since the last save.
    """

    def __init__(self) -> None:
        self.start(_exception)

    def start(self, meaning: Callable[[int], BaseException]) -> None:
        """Nothing has been heard; `meaning` is raised for a signal."""
        self.allowed = False  # the work comes to such points, and calls `obey` there
        self.patient = False  # a second one waits too: torchrun passes on what all have heard
        self.number = 0  # of the signal that waits
        self.ended = False  # from now on signals change nothing
        self._held = False
        self._meaning = meaning

    def hear(self, number: int) -> None:
        """Let a signal wait, or raise what it means."""
        if self.ended:
            return
        if self._held or (self.allowed and (self.patient or not self.number)):
            self.number = self.number or number
        else:
            self.obey(number)

    def obey(self, number: int) -> None:
        """Raise what this signal means, once; 0 is none."""
        if number and not self.ended:
            self.ended = True
            raise self._meaning(number)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Every signal waits for the end of the block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.obey(self.number)


waiting: Final = Waiting()  # one, as signals are the process's


@contextlib.contextmanager
def signals_raise(meaning: Callable[[int], BaseException] = _exception) -> Iterator[None]:
    """SIGTERM and SIGHUP end the process as SystemExit, Ctrl-C as KeyboardInterrupt; once.

    Whoever is impatient presses Ctrl-C again: that must not break off what is being put in order.
    A signal that the process was started to ignore (nohup, a shell's background) stays ignored.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        waiting.hear(number)

    waiting.start(meaning)
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: h for n in _ENDING if (h := signal.getsignal(n)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        waiting.start(_exception)


def end_with_dvc(seconds: float = 1.0) -> None:
    """Have this process end (by SIGTERM to itself) when the `dvc` that started it is killed.

    DVC leaves a stage alive when it is killed itself; the orphan would go on writing. The shell
    between both survives too, so it is passed over. The same goes for a torchrun that started it.
    Outside both nothing is done.
    """
    if not {"DVC_STAGE", "TORCHELASTIC_RUN_ID"} & set(os.environ):
        return
    parents = [p for p in psutil.Process().parents() if p.name() not in SHELLS]
    if parents:
        threading.Thread(target=_watch, args=(parents[0], seconds), daemon=True).start()


def _watch(parent: psutil.Process, seconds: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # gone between the two questions
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            time.sleep(seconds)
    starter = "torchrun" if "TORCHELASTIC_RUN_ID" in os.environ else "dvc"
    log.warning("%s has ended, so this stage ends too; `dvc repro` continues it.", starter)
    os.kill(os.getpid(), signal.SIGTERM)


def _name(process: psutil.Process) -> str:
    return f"{_host()}:{process.pid}:{_start_of(process)}"


def _start_of(process: psutil.Process) -> str:
    """When it started: on Linux in ticks since the machine did, which no setting of the clock
    changes; the time of day that psutil makes of them would make the living look dead."""
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system, or it has just ended
        return f"{process.create_time():.2f}"
    return stat.rpartition(")")[2].split()[19]  # proc(5): field 22, starttime


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]
