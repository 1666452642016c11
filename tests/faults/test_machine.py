"""What a machine does to a pipeline: a full or read-only disk, files that vanish or are damaged."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.faults import judge
from tests.pipeline.conftest import Repository
from tests.small_disk import resize, small_disk

pytestmark = pytest.mark.pipeline
SPLIT = Path("data/split")
STAGE = ("python", "-m", "stages.split")


def said(output: str, words: str) -> None:
    """One sentence, no traceback."""
    assert words in output and "Traceback" not in output, output


def split_files(repository: Repository) -> dict[str, str]:
    return {k: v for k, v in judge.files(repository.path).items() if k.startswith("data/split/")}


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def test_a_full_disk_then_room(repository: Repository) -> None:
    before = split_files(repository)
    empty(repository.path / SPLIT)
    with small_disk(repository.path / SPLIT, 8 / 1024):  # two pages
        said(repository.run(*STAGE, status=1), "error: No space is left on the disk for")
        resize(repository.path / SPLIT, 1)
        repository.run(*STAGE)
        assert split_files(repository) == before


def test_a_read_only_folder(repository: Repository) -> None:
    empty(repository.path / SPLIT)
    with small_disk(repository.path / SPLIT, 1) as folder:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        words = f"error: {SPLIT}/split.csv may not be used (Read-only file system); give yourself"
        said(repository.run(*STAGE, status=1), words)


def test_no_room_for_mlflow_then_room(repository: Repository) -> None:
    with small_disk(repository.path / "mlruns", 0.1) as mlruns:
        said(repository.run("python", "-m", "wbc", "sync", status=1), "error: ")
        resize(mlruns, 50)
        repository.run("python", "-m", "wbc", "sync")
        assert judge.problems(repository.path) == []
        assert [version.version for version in repository.versions()] == [1]


def test_a_vanished_input(repository: Repository) -> None:
    (repository.path / SPLIT / "split.csv").unlink()
    output = repository.run("python", "-m", "stages.preprocess", status=1)
    said(output, "error: data/split/split.csv was expected but is not there; run `dvc repro`")


def test_a_damaged_object_of_dvcs_cache(repository: Repository) -> None:
    """DVC notices it, removes it and makes the output anew."""
    before, lock = split_files(repository), repository.lock()
    cache = repository.path / ".dvc" / "cache" / "files" / "md5"
    content = (repository.path / SPLIT / "split.csv").read_bytes()
    (damaged,) = (
        path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == content
    )
    damaged.chmod(0o644)
    damaged.write_bytes(content[::-1])
    shutil.rmtree(repository.path / SPLIT)
    repository.run("dvc", "repro", "split")
    assert split_files(repository) == before
    assert repository.lock() == lock


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_dvc_killed_while_it_writes_dvc_lock(repository: Repository, kept: float) -> None:
    whole = repository.lock()
    (repository.path / "dvc.lock").write_bytes(whole[: int(len(whole) * kept)])
    repository.run("python", "-m", "wbc", "check")
    assert repository.ran(repository.run("dvc", "repro", "preprocess")) == []
    told = YAML(typ="safe").load(repository.lock())["stages"]
    before = YAML(typ="safe").load(whole)["stages"]
    assert all(told[name] == before[name] for name in ("download", "split", "preprocess"))


def test_files_of_the_future_re_run_nothing(repository: Repository) -> None:
    """The clock was set back since they were made."""
    for path in (repository.path / "data").rglob("*"):
        os.utime(path, (2_000_000_000, 2_000_000_000))
    assert repository.ran(repository.run("dvc", "repro", "preprocess")) == []
