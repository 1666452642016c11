"""Processes: living ones are not called dead; a stage ends in order, and with its dvc."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from wbc.processes import Waiting, is_dead, own_name, signals_raise

ROOT = Path(__file__).parent.parent.parent
STAGE = """
import time
from wbc.processes import end_with_dvc
end_with_dvc(0.05)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_living_process_is_not_dead_and_a_dead_one_is() -> None:
    assert not is_dead(own_name())
    host, number, _ = own_name().split(":")
    assert is_dead(f"{host}:{number}:1.00")  # its number was given to another process
    child = subprocess.Popen([sys.executable, "-c", ""])
    born = f"{psutil.Process(child.pid).create_time():.2f}"
    child.wait()
    assert is_dead(f"{host}:{child.pid}:{born}")


def test_a_clock_that_is_set_makes_nobody_look_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil counts a start from when the machine started, by the clock as it is now."""
    name = own_name()
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: real(process) - 3600)
    assert not is_dead(name)


def test_nothing_is_said_of_other_machines() -> None:
    assert not is_dead("000000000000:1:1.00")
    assert not is_dead("")


def test_a_stage_ends_when_its_dvc_is_killed(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(STAGE)
    command = f"'{sys.executable}' '{tmp_path / 'stage.py'}'; true"  # a shell between, as in DVC
    starter = f"import subprocess, sys; subprocess.run({command!r}, shell=True)"
    dvc = subprocess.Popen(
        [sys.executable, "-c", starter],
        env={**os.environ, "DVC_STAGE": "train", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert dvc.stdout and dvc.stdout.readline() == b"ready\n"
    family = psutil.Process(dvc.pid).children(recursive=True)
    stage = next(p for p in family if "stage.py" in " ".join(p.cmdline()[1:2]))
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    for _ in range(100):
        if not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    stage.kill()
    raise AssertionError("the stage goes on without dvc")


@pytest.mark.parametrize(
    ("number", "raised"),
    [
        (signal.SIGTERM, SystemExit),
        (signal.SIGHUP, SystemExit),
        (signal.SIGINT, KeyboardInterrupt),
    ],
)
def test_a_signal_ends_it_once_and_another_does_not_disturb_the_closing(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    closed = False
    with pytest.raises(raised) as ended, signals_raise():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            for again in (signal.SIGINT, signal.SIGTERM, number):
                os.kill(os.getpid(), again)
                time.sleep(0.01)
            closed = True
    assert closed
    if isinstance(ended.value, SystemExit):
        assert ended.value.code == 128 + number
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)] == before


def test_a_second_signal_hurries_one_process() -> None:
    waiting = Waiting()
    waiting.allowed = True
    waiting.hear(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        waiting.hear(signal.SIGINT)
    waiting.allowed = False
    waiting.hear(signal.SIGINT)  # while all is put in order


def test_a_second_signal_hurries_no_team() -> None:
    waiting = Waiting()
    waiting.allowed = waiting.patient = True
    waiting.hear(signal.SIGTERM)
    waiting.hear(signal.SIGHUP)
    with pytest.raises(SystemExit, match="143"):
        waiting.obey(waiting.number)
    waiting.allowed = False
    waiting.hear(signal.SIGTERM)


def test_what_was_to_be_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals_raise():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)
