"""wbc.lineage.leftovers: with what a kill leaves, real DVC stops; without it, it goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from wbc.lineage import leftovers

STAGE = "stages:\n  copy:\n    cmd: cp a b\n    deps: [a]\n    outs: [b]\n"


def dvc(repository: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(leftovers, "_WRITING", 0)
    (tmp_path / "a").write_text("a")
    (tmp_path / "dvc.yaml").write_text(STAGE)
    assert dvc(tmp_path, "init", "-q", "--no-scm").returncode == 0
    return tmp_path


def test_a_list_of_locks_that_was_cut_off(repository: Path) -> None:
    path = repository / ".dvc" / "tmp" / "rwlock"
    path.write_text('{"write": {"/b": {"pid": 1, "cm')
    assert "JSON structure is corrupted" in dvc(repository, "repro").stderr
    (said,) = leftovers.mend(repository)
    assert said.startswith("DVC's list of who reads and writes what (.dvc/tmp/rwlock) was cut off")
    assert dvc(repository, "repro").returncode == 0
    assert leftovers.mend(repository) == []
    assert path.is_file()  # whole


@pytest.mark.parametrize("cache", ["", "elsewhere"])
def test_an_entry_of_the_run_cache_that_was_cut_off(repository: Path, cache: str) -> None:
    if cache:
        dvc(repository, "cache", "dir", "--local", cache)
    assert dvc(repository, "repro").returncode == 0
    (entry,) = (repository / (cache or ".dvc/cache")).glob("runs/??/*/*")
    half = entry.with_name(".aFLtPXr0TxqPaq0hYcS7SA.tmp")
    text = entry.read_text()
    half.write_text(text[: text.index("outs:")])
    (repository / "b").unlink()
    (repository / "dvc.lock").unlink()
    assert "failed to reproduce 'copy': 'outs'" in dvc(repository, "repro").stderr
    assert leftovers.mend(repository) == [
        "An entry of DVC's run cache was cut off while DVC wrote it (a kill, a full disk), and was"
        " removed."
    ]
    assert not half.exists() and entry.read_text() == text
    assert "is cached - skipping run" in dvc(repository, "repro").stdout


def test_an_output_that_had_no_name_yet(repository: Path) -> None:
    report = repository / "reports" / "googlenet"
    half, own = report / ".7o0J7gStuv2r5eLx-c3vmQ.tmp", report / ".notes.tmp"
    report.mkdir(parents=True)
    half.touch()
    own.touch()
    (said,) = leftovers.mend(repository)
    assert said.startswith("An output was cut off while DVC wrote it")
    assert list(report.iterdir()) == [own]


def test_what_is_being_written_stays(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = repository / ".dvc" / "cache" / "runs" / "ab" / "abc" / ".x.tmp"
    lock = repository / ".dvc" / "tmp" / "rwlock"
    grows = repository / "models" / "googlenet" / ".7o0J7gStuv2r5eLx-c3vmQ.tmp"
    half.parent.mkdir(parents=True)
    half.touch()
    grows.parent.mkdir(parents=True)
    grows.touch()
    lock.write_text("{")

    def writes_on(_seconds: float) -> None:
        half.rename(half.with_name("whole"))
        grows.write_text("more")
        lock.write_text("{}")

    monkeypatch.setattr(leftovers.time, "sleep", writes_on)
    assert leftovers.mend(repository) == []
    assert lock.read_text() == "{}" and half.with_name("whole").is_file() and grows.is_file()


def test_none_is_none(tmp_path: Path) -> None:
    assert leftovers.mend(tmp_path) == []
