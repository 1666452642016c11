"""wbc.registry.workspace: which data a checkout says are missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from wbc.registry import workspace

DVC_YAML = """stages:
  train:
    matrix:
      architecture: ${architectures}
    cmd: python -m stages.train ${item.architecture}
    outs:
      - models/${item.architecture}
"""
FOLDER, FILE = f"{'a' * 32}.dir", "b" * 32


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """DVC without git, one network left in params.yaml."""
    command = (sys.executable, "-m", "dvc", "init", "-q", "--no-scm")
    subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "params.yaml").write_text("architectures: [resnet18]\n")
    return tmp_path


def _lock() -> bytes:
    lines = ["schema: '2.0'", "stages:"]
    for name in ("resnet18", "densenet121"):
        out = f"{{path: models/{name}, md5: {FOLDER}}}"
        lines.append(f"  train@{name}: {{cmd: x, outs: [{out}]}}")
    return "\n".join(lines).encode()


def _cache(repository: Path, name: str, text: str) -> None:
    path = repository / ".dvc" / "cache" / "files" / "md5" / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_only_what_the_state_needs_and_the_cache_lacks_is_missing(repository: Path) -> None:
    pointer = repository / "data" / "incoming" / "cells.zip.dvc"
    pointer.parent.mkdir(parents=True)
    pointer.write_text(f"outs:\n- md5: {FILE}\n  path: cells.zip\n")
    archive, model = "data/incoming/cells.zip", "models/resnet18"
    assert workspace._missing(repository, _lock()) == [model, archive]
    _cache(repository, FOLDER, f'[{{"md5": "{FILE}", "relpath": "model.json"}}]')
    assert workspace._missing(repository, _lock()) == [model, archive]  # its file is not there
    _cache(repository, FILE, "{}")
    assert workspace._missing(repository, _lock()) == []
