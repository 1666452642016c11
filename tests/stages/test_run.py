"""How a stage starts and ends."""

from pathlib import Path

import pytest

from stages._run import run, scratch_dir
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


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_scratch_lies_in_the_repository_that_stays_and_goes_with_success(root: Path) -> None:
    with scratch_dir("train", "a") as folder:
        assert folder.parent == root / "scratch"
        (folder / "checkpoint").touch()
    assert not folder.exists()


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
