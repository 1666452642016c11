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


def test_scratch_lies_in_the_repository_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    first, second = scratch_dir("train"), scratch_dir("train")
    assert first != second
    assert first.parent == second.parent == tmp_path / "scratch"
