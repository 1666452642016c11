"""Processes: who trains, whether it still lives, and ending with the `dvc` that started it."""

import hashlib
import logging
import os
import platform
import signal
import threading
import time
from typing import Final

import psutil

log = logging.getLogger(__name__)

SHELLS: Final = frozenset({"sh", "dash", "bash", "zsh", "ash", "ksh", "fish"})


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
    while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
        time.sleep(seconds)
    starter = "torchrun" if "TORCHELASTIC_RUN_ID" in os.environ else "dvc"
    log.warning("%s has ended, so this stage ends too; `dvc repro` continues it.", starter)
    os.kill(os.getpid(), signal.SIGTERM)


def _name(process: psutil.Process) -> str:
    return f"{_host()}:{process.pid}:{process.create_time():.2f}"


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]
