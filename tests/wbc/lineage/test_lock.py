"""wbc.lineage.lock: a dvc.lock that DVC cut off is set aside, any other stays."""

from pathlib import Path

import pytest

from wbc.errors import UserError
from wbc.lineage import lock

WHOLE = """schema: '2.0'
stages:
  split:
    cmd: python -m stages.split
    outs:
    - path: data/split
      hash: md5
      md5: 11111111111111111111111111111111.dir
      size: 12
      nfiles: 5
"""


@pytest.mark.parametrize("text", [WHOLE, "schema: '2.0'\n", WHOLE[: WHOLE.index("    outs:")]])
def test_what_dvc_can_read_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    assert lock.mend(tmp_path) == ""
    assert (tmp_path / "dvc.lock").read_text() == text


@pytest.mark.parametrize("text", ["", "schema: '2", WHOLE[:-5], "stages: {}\n"])
def test_what_was_cut_off_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(lock, "_WRITING", 0)
    (tmp_path / "dvc.lock").write_text(text)
    assert "is made anew" in lock.mend(tmp_path)
    assert not (tmp_path / "dvc.lock").exists()
    assert (tmp_path / "dvc.lock.damaged").read_text() == text


SIZE = "      size: 12\n"
CONFLICT = WHOLE.replace(SIZE, f"<<<<<<< HEAD\n=======\n{SIZE}>>>>>>> other\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CONFLICT, r"both sides of a merge .* take one of them \(git checkout --ours dvc.lock"),
        (WHOLE.replace("2.0", "3.0"), "schema 2.0, but has 3.0, .* install the DVC that wrote it"),
    ],
)
def test_what_is_complete_and_unreadable_stays(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(UserError, match=words):
        lock.mend(tmp_path)
    assert (tmp_path / "dvc.lock").read_text() == text


def test_none_is_none(tmp_path: Path) -> None:
    assert lock.mend(tmp_path) == ""
