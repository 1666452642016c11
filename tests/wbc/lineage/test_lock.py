"""wbc.lineage.lock: a dvc.lock that DVC cannot read goes, any other stays."""

from pathlib import Path

import pytest

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
def test_what_dvc_cannot_read_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(lock, "_WRITING", 0)
    (tmp_path / "dvc.lock").write_text(text)
    assert "is made anew" in lock.mend(tmp_path)
    assert not (tmp_path / "dvc.lock").exists()


def test_none_is_none(tmp_path: Path) -> None:
    assert lock.mend(tmp_path) == ""
