"""wbc.commands.mending: commands after which DVC is started put away what it would stop at."""

import logging
import shutil
from pathlib import Path

import pytest

from wbc import cli
from wbc.lineage import leftovers

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("words", [["check"], ["sweep", "no.such.setting=1,2"]])
def test_what_a_killed_dvc_left_is_put_away(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(leftovers, "_WRITING", 0)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    path = tmp_path / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True)
    path.write_text('{"write": {"/b": {"pid": 1, "cm')
    with caplog.at_level(logging.WARNING):
        try:
            cli.main(words)
        except SystemExit as end:  # the sweep has no such setting
            assert words[0] == "sweep" and "is not a setting" in str(end.code)
    assert not path.exists()
    assert "(.dvc/tmp/rwlock) was cut off" in caplog.text
