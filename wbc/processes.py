"""Processes: who trains, whether it still lives, and how it ends: in order, or with its `dvc`."""

import contextlib
import hashlib
import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator
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


class Waiting:
    """A first signal that `signals_raise` hears waits for the work to come to a point to save at.

    A second one does not wait: whoever is impatient loses what was done since the last save.
    """

    def __init__(self) -> None:
        self.allowed = False  # the work comes to such points, and calls `obey` there
        self.number = 0  # of the signal that waits

    def asks(self, number: int) -> bool:
        """Whether the signal waits now."""
        if not self.allowed or self.number:
            return False
        self.number = number
        return True

    def obey(self) -> None:
        """Raise what the signal that waits means, if one does."""
        number, self.number = self.number, 0
        if number:
            raise _exception(number)


waiting: Final = Waiting()  # one, as signals are the process's


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP end the process as SystemExit, Ctrl-C as KeyboardInterrupt; once.

    Whoever is impatient presses Ctrl-C again: that must not break off what is being put in order.
    A signal that the process was started to ignore (nohup, a shell's background) stays ignored.
    """
    ended = False

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        if ended or waiting.asks(number):
            return
        ended = True
        raise _exception(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: h for n in _ENDING if (h := signal.getsignal(n)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        waiting.allowed, waiting.number = False, 0
        for number, handler in before.items():
            signal.signal(number, handler)


def _exception(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


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
    return f"{_host()}:{process.pid}:{process.create_time():.2f}"


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]
