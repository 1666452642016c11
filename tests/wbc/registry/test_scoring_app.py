"""`python -m wbc serve` itself, a real process with a small model, over real HTTP."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.mlflow_home import ARCHITECTURE, write_model
from tests.wbc import pictures
from wbc.cells import CLASSES
from wbc.registry import serve

ROOT = Path(__file__).parents[3]
SECONDS = 180  # for the start on a machine with much else to do


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a server of the model in models/; it must end by SIGTERM."""
    write_model(tmp_path)
    with socket.create_server((serve.HOST, 0)) as free:
        port = free.getsockname()[1]
    options = ["--model", f"models/{ARCHITECTURE}", "--port", str(port)]
    server = subprocess.Popen(
        [sys.executable, "-m", "wbc", "serve", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait(f"http://{serve.HOST}:{port}/ping", server)
        yield f"http://{serve.HOST}:{port}/invocations"
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 128 + signal.SIGTERM
    finally:
        server.kill()
        server.wait()


def _wait(ping: str, server: "subprocess.Popen[str]") -> None:
    for _ in range(SECONDS * 4):
        assert server.poll() is None, server.stderr and server.stderr.read()
        try:
            if requests.get(ping, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.25)
    raise AssertionError("the server did not come up")


def test_the_server_answers_refuses_and_ends(address: str) -> None:
    picture = base64.b64encode(pictures.encoded(pictures.cell(120, 120, 60, 60))).decode()
    garbage = base64.b64encode(b"no picture").decode()
    answer = requests.post(address, json={"inputs": [picture, garbage]}, timeout=60)
    assert answer.status_code == 200, answer.text
    good, bad = answer.json()["predictions"]
    assert good["class"] in CLASSES and sum(good[f"p_{name}"] for name in CLASSES) > 0.99
    assert bad["class"] == "unreadable" and bad["error"]
    for wrong in ({"inputs": []}, {"images": [picture]}, {"inputs": ["no base64!"]}):
        refused = requests.post(address, json=wrong, timeout=60)
        assert refused.status_code == 400 and refused.json()["error"], wrong
    plain = requests.post(address, data="text", headers={"content-type": "text/plain"}, timeout=60)
    assert plain.status_code == 415
    assert requests.post(address, json={"inputs": [picture]}, timeout=60).ok
