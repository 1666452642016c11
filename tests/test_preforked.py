"""Forks of the server of tests/preforked behave as `python -m MODULE` and `-P SCRIPT` do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests import preforked

MODULE = """
import os, sys, time
if __name__ == "__main__":
    print("torch" in sys.modules, sys.argv[1:], os.environ["WISH"], os.getcwd(), sys.path[0])
    print(sys.stdin.read(), os.getpid(), flush=True)
    what = sys.argv[1]
    if what == "wait":
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            sys.exit("stopped")
    if what == "raise":
        raise ValueError("said so")
    if what == "killed":
        os.kill(os.getpid(), 9)
    sys.exit(int(what))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    folder = preforked.bin_dir()
    if folder is None:
        pytest.skip("forks are not possible here, or not wanted")
    return folder / "python"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "wish.py").write_text(MODULE, encoding="utf-8")
    return tmp_path


def start(python: Path, folder: Path, *words: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [python, *words],
        cwd=folder,
        env={**os.environ, "WISH": "a wish", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_fork_has_the_askers_words_folder_and_files(python: Path, module: Path) -> None:
    process = start(python, module, "-m", "wish", "7", "b c")
    said, complaints = process.communicate("typed", timeout=60)
    first, second = said.splitlines()
    assert first == f"True ['7', 'b c'] a wish {module} {module}"
    assert second.startswith("typed ")
    assert (process.returncode, complaints) == (7, "")


def test_a_script_does_not_see_the_folder_that_it_starts_in(python: Path, module: Path) -> None:
    process = start(python, module, "-P", str(module / "wish.py"), "7", "b c")
    said, complaints = process.communicate("typed", timeout=60)
    first, second = said.splitlines()
    assert first.startswith(f"True ['7', 'b c'] a wish {module} ")
    assert not first.endswith(f" {module}")
    assert second.startswith("typed ")
    assert (process.returncode, complaints) == (7, "")


def test_what_fails_ends_as_ever(python: Path, module: Path) -> None:
    process = start(python, module, "-m", "wish", "raise")
    _, complaints = process.communicate("", timeout=60)
    assert process.returncode == 1
    assert complaints.startswith("Traceback") and complaints.endswith("ValueError: said so\n")
    process = start(python, module, "-m", "wish", "killed")
    process.communicate("", timeout=60)
    assert process.returncode == -signal.SIGKILL


def test_a_signal_reaches_the_fork_and_it_dies_with_its_asker(python: Path, module: Path) -> None:
    for number, status in ((signal.SIGINT, 1), (signal.SIGKILL, -signal.SIGKILL)):
        process = start(python, module, "-m", "wish", "wait")
        assert process.stdin and process.stdout
        process.stdin.close()
        _, second = process.stdout.readline(), process.stdout.readline()
        fork = psutil.Process(int(second))
        process.send_signal(number)
        assert process.wait(timeout=60) == status
        fork.wait(timeout=60)


def test_all_else_is_the_real_interpreter(python: Path, module: Path) -> None:
    print_it = "import sys; print('torch' in sys.modules, sys.executable)"
    said, _ = start(python, module, "-c", print_it).communicate("", timeout=60)
    assert said == f"False {sys.executable}\n"
    said, _ = start(python, module, "-m", "wish", "0", OMP_NUM_THREADS="7").communicate("")
    assert said.startswith("False ['0']")


NESTED = """
import subprocess, sys
from joblib import Parallel, delayed
if __name__ == "__main__":
    done = subprocess.run([sys.executable, "-m", "wish", "0"], input="", capture_output=True)
    print(done.stdout.decode().split()[0])
    print(Parallel(2)(delayed(abs)(number) for number in (-1, -2)))
"""


def test_what_a_fork_starts_is_a_fork_but_for_joblibs_workers(python: Path, module: Path) -> None:
    """These are handed open files, which no fork gets."""
    (module / "nested.py").write_text(NESTED, encoding="utf-8")
    said, complaints = start(python, module, "-m", "nested").communicate("", timeout=120)
    assert said.splitlines() == ["True", "[1, 2]"], complaints
