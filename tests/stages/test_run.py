"""How a stage starts and ends."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch

from stages import evaluate, train, weights
from stages._run import run, scratch_dir
from wbc import processes
from wbc.errors import UserError


def test_a_users_mistake_is_one_sentence_and_status_1() -> None:
    def main() -> None:
        raise UserError("x was expected, found y; do z.")

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == "error: x was expected, found y; do z."


def test_our_own_mistakes_stay_visible() -> None:
    def main() -> None:
        raise AssertionError("ours")

    with pytest.raises(AssertionError):
        run(main)


def test_a_full_disk_is_one_sentence(root: Path) -> None:
    def main() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", str(root / "models" / "x"))
        except OSError as error:
            raise RuntimeError("could not save") from error

    with pytest.raises(SystemExit) as ended:
        run(main)
    words = rf"error: No space is left on the disk for {root}/models .*`dvc repro`\), which goes on"
    assert re.match(words, str(ended.value.code))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "models/x"),
            "models/x may not be used",
        ),
        (OSError(errno.EROFS, "Read-only file system", "models/x"), r"models/x may not .*chmod"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "data/x"),
            "data/x is not there; run `dvc",
        ),
        (MemoryError(), "the memory of this machine is not enough"),
        (torch.OutOfMemoryError("CUDA out of memory"), "the memory of the GPU is not enough"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "the memory of this machine"),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(error: Exception, words: str) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert re.match(f"error: {words}", str(ended.value.code))


def test_every_stage_ends_with_its_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[bool] = []
    monkeypatch.setattr(processes, "end_with_dvc", lambda: watched.append(True))
    run(lambda: None)
    assert watched == [True]


@pytest.mark.parametrize("stage", [weights, train, evaluate], ids=lambda stage: stage.__name__)
def test_an_architecture_that_is_not_in_params_leaves_no_trace(
    stage: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_bytes(Path("params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for named, found in ((["nonsense"], "not nonsense;"), ([], "not nothing;")):
        monkeypatch.setattr(sys, "argv", [stage.__name__, *named])
        with pytest.raises(UserError, match=rf"expected \(googlenet\), {found}"):
            stage.main()
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_a_terminated_stage_says_how_to_go_on(caplog: pytest.LogCaptureFixture) -> None:
    def main() -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 143
    assert "stopped by SIGTERM; run the same command again" in caplog.text


def test_ctrl_c_while_torch_is_imported_shows_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train", "googlenet"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    maps = Path(f"/proc/{process.pid}/maps")
    while "libtorch" not in maps.read_text():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert (process.returncode, output) == (-signal.SIGINT, "")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_scratch_lies_in_the_repository_that_stays_and_goes_with_success(root: Path) -> None:
    with scratch_dir("train", "a") as folder:
        assert folder.parent == root / "scratch"
        (folder / "checkpoint").touch()
    assert list((root / "scratch").iterdir()) == []


def test_interrupted_work_is_found_again_by_what_it_belongs_to_only(root: Path) -> None:
    with pytest.raises(RuntimeError), scratch_dir("train", "a", "b") as folder:
        (folder / "checkpoint").touch()
        raise RuntimeError
    with scratch_dir("train", "a", "other") as other:
        assert list(other.iterdir()) == []
    with scratch_dir("train", "a", "b") as again:
        assert (again / "checkpoint").exists()


def test_two_at_the_same_work_are_refused(root: Path) -> None:
    with scratch_dir("train", "a"):
        second = scratch_dir("train", "a")
        with pytest.raises(UserError, match="Another process is doing the same"):
            second.__enter__()
        with scratch_dir("train", "b"):
            pass


def test_what_a_kill_left_of_a_removed_folder_is_not_continued(root: Path) -> None:
    with pytest.raises(RuntimeError), scratch_dir("train", "a") as folder:
        (folder / "checkpoint").touch()
        raise RuntimeError
    folder.rename(folder.with_suffix(".done"))
    with scratch_dir("train", "a") as again:
        assert list(again.iterdir()) == []
        assert list((root / "scratch").glob("*.done")) == []


def test_never_two_at_the_same_work_although_lock_files_are_removed(root: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from stages._run import scratch_dir
from wbc.errors import UserError
done = 0
while done < 200:
    try:
        with scratch_dir("train", "a") as folder:
            os.close(os.open(folder / "mine", os.O_CREAT | os.O_EXCL))
            (folder / "mine").unlink()
            done += 1
    except UserError:
        pass
"""
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    both = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [process.wait(60) for process in both] == [0, 0, 0]
    assert list((root / "scratch").iterdir()) == []
