"""The repository in which a mistake is made, new for each."""

from pathlib import Path

import pytest

from tests.mistakes.scene import Scene, open_home, write_home


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    write_home(folder)
    return folder


@pytest.fixture
def scene(
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Scene:
    return Scene(open_home(template, tmp_path / "wbc", monkeypatch), monkeypatch, capsys, caplog)
