"""wbc.tracking.server: what `make ui` refuses; tests/wbc/test_ui.py sees it at work."""

import socket
from pathlib import Path

import pytest

from tests.mlflow_home import new_home
from wbc.errors import UserError
from wbc.tracking import runs as tracking


def test_ui_refuses_what_cannot_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_home(tmp_path / "home", monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} on 127.0.0.1 is taken"):
            tracking.ui(port)
    with pytest.raises(UserError, match="A port from 1 to 65535 was expected, not 99999"):
        tracking.ui(99999)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    with pytest.raises(UserError, match=r"https://mlflow\.example\.org, a server with its own UI"):
        tracking.ui(0)
