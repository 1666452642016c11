"""Counted moments of a training, at any of which its process kills itself with SIGKILL.

Nothing in the shipped code knows of them: functions are wrapped from outside, in a forked child
that then runs the real stage.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "squeezenet1_1"


class Events:
    """Notes every moment by name in a file, and ends the process at one of them."""

    def __init__(self, path: Path, kill_at: int | None) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._kill_at, self._count = kill_at, 0

    def note(self, name: str) -> None:
        os.write(self._file, f"{name}\n".encode())
        if self._count == self._kill_at:
            os.killpg(0, signal.SIGKILL)  # the child leads a group of its own
        self._count += 1

    def around(self, owner: Any, attribute: str, name: str) -> None:
        """Moments before and after each call of a function; {0} is its first argument's name."""
        real = getattr(owner, attribute)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            said = name.format(getattr(arguments[0], "name", "")) if arguments else name
            self.note(f"before {said}")
            result = real(*arguments, **named)
            self.note(f"after {said}")
            return result

        setattr(owner, attribute, wrapped)

    def halfway(self, owner: Any, attribute: str, name: str, half: Callable[..., None]) -> None:
        """A moment at which `half` of what the function does is done."""
        real = getattr(owner, attribute)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            half(*arguments)
            self.note(f"half of {name}")
            return real(*arguments, **named)

        setattr(owner, attribute, wrapped)


def watch(events: Events) -> None:
    """Wrap what a training does: steps, validation, every file that it writes, MLflow, the end."""
    import torch

    from stages import train
    from wbc import checkpoints, disk, model
    from wbc.tracking import log as tracking_log
    from wbc.tracking import runs as tracking
    from wbc.training_module import TrainingModule

    events.around(torch.optim.AdamW, "step", "optimizer step")
    events.around(TrainingModule, "validation_step", "validation step")
    events.around(TrainingModule, "on_validation_epoch_end", "scores")
    events.around(checkpoints, "write_whole", "checkpoint")
    _watch_writing(events)
    events.around(os, "fsync", "flush of a file")
    events.around(Path, "replace", "rename of {0}")
    events.around(disk, "reserve", "reserving room for {0}")
    events.around(os, "pwrite", "writing of features")
    events.around(tracking_log, "create_run", "creation of the MLflow run")
    events.around(tracking.TrainingRun, "log_epoch", "epoch in MLflow")
    events.around(train, "write_table", "history.csv")
    events.around(model, "save_file", "weights")
    events.halfway(model, "save_file", "weights", _half_weights)
    events.around(model, "save", "model")
    events.around(tracking.TrainingRun, "finish", "name of the run")
    events.around(tracking.TrainingRun, "end", "end of the run")
    events.around(Path, "rename", "rename of scratch")
    events.halfway(shutil, "rmtree", "removal of scratch", _half_folder)
    events.around(shutil, "rmtree", "removal of scratch")


def run_child(folder: Path, kill_at: int | None) -> tuple[int, list[str], str]:
    """Train in `folder` in a forked child that is killed at moment `kill_at`, from 0.

    Returns:
        Its status as subprocess gives it (-9: killed), the names of the moments that it reached,
        and its log.
    """
    number = os.fork()
    if number == 0:
        try:
            _child(folder, kill_at)
        finally:
            os._exit(70)  # never back into the caller's code
    _, status = os.waitpid(number, 0)
    moments = (folder / "moments").read_text(encoding="utf-8").splitlines()
    log = (folder / "log").read_text(encoding="utf-8")
    return os.waitstatus_to_exitcode(status), moments, log


def _child(folder: Path, kill_at: int | None) -> None:
    os.setpgid(0, 0)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ |= {"DVC_ROOT": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true"}
    sys.argv = ["stages.train", NAME]
    from stages import train
    from stages._run import run
    from wbc import features, plan

    plan.MIN_CACHED = 0  # type: ignore[misc]  # the store is small
    features.SECONDS_BETWEEN_NOTES = 0.0  # type: ignore[misc]  # and the pass over it short
    _free_logging()
    watch(Events(folder / "moments", kill_at))
    code = 0
    try:
        run(train.main)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        print(ended.code)
    sys.stderr.flush()
    os._exit(code)


def _free_logging() -> None:
    """The stage sets up its own log, as in a process of its own."""
    import logging

    for handler in list(logging.getLogger().handlers):
        logging.getLogger().removeHandler(handler)


def _watch_writing(events: Events) -> None:
    """A moment at which half of a file is written, for every file that pathlib opens to write."""
    real = Path.open

    def opened(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        file = real(path, mode, *arguments, **named)
        return _Halves(file, lambda: events.note(f"half of {path.name}")) if "w" in mode else file

    Path.open = opened  # type: ignore[method-assign, assignment]


class _Halves:
    def __init__(self, file: Any, halfway: Callable[[], None]) -> None:
        self._file, self._halfway = file, halfway

    def __enter__(self) -> "_Halves":
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: Any) -> None:
        self._file.write(content[: len(content) // 2])
        self._file.flush()
        self._halfway()
        self._file.write(content[len(content) // 2 :])


def _half_weights(_state: dict[str, Any], path: Path) -> None:
    path.write_bytes(b"\0" * 100_000)


def _half_folder(folder: Path, **_options: Any) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file())[:1]:
        path.unlink()
