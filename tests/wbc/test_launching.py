"""torchrun from inside: it starts processes, and says in one sentence why they failed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing import ProcessFailure

from wbc import launching
from wbc.errors import UserError
from wbc.launching import Report

ROOT = Path(__file__).parent.parent.parent
STAGE = """
import os, signal, sys, threading, time
from stages._run import run
from wbc import launching
from wbc.errors import UserError
from wbc.processes import signals_raise

def main():
    if launching.must_launch(2, os.environ):
        return launching.launch("stage", sys.argv[1:], 2)
    with launching.reporting():
        {part}

rank = os.environ.get("RANK")
run(main, quiet=launching.was_launched(os.environ))
"""
OTHER_FAILS = "if rank == '1': raise UserError('Salt is missing; add it.')\n        time.sleep(60)"
BOTH_FAIL = "raise UserError('Salt is missing; add it.')"
KILLED = "if rank == '1': os.kill(os.getpid(), signal.SIGKILL)\n        time.sleep(60)"
MISTAKE = "if rank == '1': [][0]\n        time.sleep(60)"
# A terminal's comes to the launcher only: the others are no longer of its group.
CTRL_C = """with signals_raise():
            try:
                open('ready' + rank, 'w').close()
                if rank == '1':
                    threading.Thread(target=press, args=(os.getppid(),)).start()
                time.sleep(60)
            finally:
                time.sleep(1)
                if rank == '1': print('saved')

def press(launcher):
    while not os.path.exists('ready0'):
        time.sleep(0.01)
    for _ in range(5):
        os.kill(launcher, signal.SIGINT)
        time.sleep(0.1)"""
ENDS = "print('rank', rank, sys.argv[1])"


def launch(folder: Path, part: str) -> tuple[int, str]:
    (folder / "stage.py").write_text(STAGE.format(part=part))
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(
        [sys.executable, "-m", "stage", "salt"],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout


def test_every_process_runs_the_same_command(tmp_path: Path) -> None:
    status, output = launch(tmp_path, ENDS)
    assert status == 0, output
    assert sorted(output.splitlines()) == ["rank 0 salt", "rank 1 salt"]


@pytest.mark.parametrize("part", [OTHER_FAILS, BOTH_FAIL])
def test_a_sentence_is_printed_once_whoever_has_it(tmp_path: Path, part: str) -> None:
    assert launch(tmp_path, part) == (1, "error: Salt is missing; add it.\n")


def test_a_killed_process_is_named(tmp_path: Path) -> None:
    status, output = launch(tmp_path, KILLED)
    assert status == 1
    assert output.startswith("error: Process 2 of 2 was ended by SIGKILL, for lack of memory")
    assert len(output.splitlines()) == 1


def test_of_a_mistake_in_the_code_its_own_traceback_is_shown(tmp_path: Path) -> None:
    status, output = launch(tmp_path, MISTAKE)
    assert status == 1
    assert output.startswith("Traceback") and output.count("Traceback") == 1
    assert "IndexError: list index out of range" in output


def test_ctrl_c_waits_for_all_and_is_one_sentence_however_often_it_is_pressed(
    tmp_path: Path,
) -> None:
    stopped = "stopped by Ctrl-C; run the same command again to go on"
    assert launch(tmp_path, CTRL_C) == (1, f"saved\n{stopped}\n")


def failure(status: int) -> ProcessFailure:
    return ProcessFailure(local_rank=0, pid=1, exitcode=status, error_file="<N/A>")


def test_the_first_telling_reason_is_given() -> None:
    killed, ended = {0: failure(-signal.SIGTERM), 1: failure(-signal.SIGKILL)}, {0: failure(143)}
    mistake, sentence = Report(1.0, False, "Traceback: x"), Report(2.0, True, "Add salt.")
    with pytest.raises(UserError, match=r"Add salt\."):
        launching._fail(killed, [mistake, sentence], 2)
    with pytest.raises(UserError, match="Process 2 of 2 was ended by SIGKILL"):
        launching._fail(killed, [mistake], 2)
    with pytest.raises(SystemExit, match="Traceback: x"):
        launching._fail(ended, [mistake], 2)
    with pytest.raises(KeyboardInterrupt):
        launching._fail({0: failure(130)}, [], 2)
    with pytest.raises(SystemExit) as end:
        launching._fail(ended, [], 2)
    assert end.value.code == 143
    with pytest.raises(SystemExit, match="status 7 and gave no reason"):
        launching._fail({0: failure(7)}, [], 2)


def test_only_a_stage_of_several_processes_launches() -> None:
    assert launching.must_launch(2, {})
    assert not launching.must_launch(1, {})
    assert not launching.must_launch(2, {"TORCHELASTIC_RUN_ID": "x"})
