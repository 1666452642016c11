"""Processes: living ones are not called dead, and a stage ends with its dvc."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from wbc.processes import is_dead, own_name

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
