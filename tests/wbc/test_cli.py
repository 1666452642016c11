"""`python -m wbc`: what it prints and how it ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wbc import cli

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "params.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_check_is_silent_about_what_can_be_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["check"])
    assert capsys.readouterr().out == ""


def test_check_ends_with_one_sentence(here: Path) -> None:
    edit(here, "  dropout: 0.2", "  dropuot: 0.2")
    with pytest.raises(SystemExit) as ended:
        cli.main(["check"])
    words = (
        "error: params.yaml: model.dropuot (value 0.2) is not a setting; did you mean 'dropout'?"
    )
    assert ended.value.code == words


def test_check_knows_a_missing_gpu_before_any_work(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edit(here, "device: auto", "device: gpu")
    with pytest.raises(SystemExit, match=r"train\.device is gpu, but torch"):
        cli.main(["check"])


def test_params_merges_a_profile_and_lists_it(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wbc", "params", "raabin"],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert "preprocess.input_size: 128 -> 224" in done.stdout
    cli.main(["check"])


def test_a_full_disk_is_one_sentence_wherever_it_was(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wbc.params.load", full)
    with pytest.raises(SystemExit, match=r"^error: No space is left on the disk for .* again"):
        cli.main(["check"])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "the memory of this machine is not enough"),
        (torch.OutOfMemoryError("CUDA out of memory"), "the memory of the GPU is not enough"),
        (FileNotFoundError(2, "No such file", "data/gone.csv"), "data/gone.csv is not there"),
        (OSError(36, "File name too long", "x" * 300), "x+ … x+ is longer than a name can be"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(
    here: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("wbc.params.load", refuse)
    with pytest.raises(SystemExit, match=f"^error: {words}.* (again|brings|name another)"):
        cli.main(["check"])


def test_nobody_who_reads_is_no_traceback_and_the_work_goes_on(here: Path) -> None:
    """`python -m wbc params raabin | head -0`, on a terminal that knows only ASCII."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "wbc", "params", "raabin"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "raabin" in (here / "params.yaml").read_text(encoding="utf-8")


def test_letters_that_the_terminal_does_not_know_are_written_otherwise() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wbc", "differential", "--help"],
        cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "ascii"}, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == "" and "usage" in done.stdout


def test_a_path_that_a_databases_address_would_bend_is_refused_before_any_work(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a?b", "a%20b"):
        monkeypatch.setenv("DVC_ROOT", str(here / name))
        with pytest.raises(SystemExit, match=r"^error: .* without % and \?.*rename the folder"):
            cli.main(["check"])


def test_a_command_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wbc", "demote"], cwd=ROOT, text=True, capture_output=True
    )
    assert done.returncode == 2 and "invalid choice: 'demote'" in done.stderr
    assert "Traceback" not in done.stderr
