""".ci/audit.py: known holes stop lint, a missing network does not."""

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOLE = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"]}
FOUND = [
    {"name": "sound", "version": "2.0", "vulns": []},
    {"name": "unknown", "skip_reason": "not on PyPI"},
    {"name": "leaky", "version": "1.0", "vulns": [HOLE]},
]


class Open:
    def close(self) -> None: ...


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, in a folder of its own, with a service that can be reached."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.txt").touch()
    os.utime("requirements.txt", (1, 1))
    monkeypatch.setattr(module, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(module.socket, "create_connection", lambda *_, **__: Open())
    return module


def says(stdout: str, stderr: str = "") -> Callable[..., Any]:
    return lambda command, **_: subprocess.CompletedProcess(command, 1, stdout, stderr)


def test_a_known_hole_is_named_and_stops_lint(
    audit: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit.subprocess, "run", says(json.dumps({"dependencies": FOUND})))
    assert audit.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "leaky 1.0: PYSEC-2026-1, mended in 1.1" in said
    assert "sound" not in said and not audit.STAMP.exists()


def test_what_is_sound_is_asked_once_a_day_and_after_new_pins(
    audit: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit.subprocess, "run", says(json.dumps({"dependencies": FOUND[:2]})))
    assert audit.main() == 0
    assert capsys.readouterr().out == "1 packages have no known vulnerability.\n"
    assert audit.main() == 0 and capsys.readouterr().out == ""
    for path, time in ((audit.STAMP, 5), (Path("requirements.txt"), 2e9)):
        os.utime(path, (time, time))
        assert audit.main() == 0 and capsys.readouterr().out != ""


@pytest.mark.parametrize("broken", ["network", "service", "time"])
def test_without_an_answer_lint_goes_on_with_one_sentence(
    broken: str, audit: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OSError(101, "Network is unreachable")

    def slow(command: Any, **_: Any) -> Any:
        raise subprocess.TimeoutExpired(command, 1)

    if broken == "network":
        monkeypatch.setattr(audit.socket, "create_connection", away)
    run = slow if broken == "time" else says("", "Traceback\nConnectionError: reset by peer\n")
    monkeypatch.setattr(audit.subprocess, "run", run)
    assert audit.main() == 0
    said = capsys.readouterr().out
    words = {"network": "Network is unreachable", "service": "reset by", "time": "120 seconds"}
    assert said.startswith("Packages were not audited") and words[broken] in said
    assert said.count("\n") == 1 and not audit.STAMP.exists()
