""".ci/dvc_scm.py: what a user had set in .dvc/config.local stays, and as private as it was."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / ".ci" / "dvc_scm.py"
OWN = "['remote \"ours\"']\n    password = not for others\n"


def run(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPT], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_password_stays_for_its_owner_alone(tmp_path: Path) -> None:
    local = tmp_path / ".dvc" / "config.local"
    local.parent.mkdir()
    local.with_name("config").touch()
    local.write_text(OWN)
    local.chmod(0o600)
    assert "No git repository here" in run(tmp_path)
    assert "no_scm = true" in local.read_text() and "password = not for others" in local.read_text()
    assert local.stat().st_mode & 0o777 == 0o600

    (tmp_path / ".git").mkdir()
    assert run(tmp_path) == ""
    assert "no_scm" not in local.read_text() and "password = not for others" in local.read_text()
    assert local.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / ".dvc" / "tmp").iterdir()] == []
