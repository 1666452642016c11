"""The MLflow UI as `make ui` starts it, seen by a real browser."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.mlflow_home import ARCHITECTURE, REPORT, card, new_home, write_model
from wbc import tracking, tracking_store
from wbc.registry import versions

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000")
WINDOW = "--window-size=1400,3000"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two published models of different parameters and scores."""
    home = new_home(tmp_path / "home", monkeypatch)
    monkeypatch.setattr(versions, "package", lambda *_: None)
    monkeypatch.setattr("mlflow.MlflowClient.log_model_artifacts", lambda *_: None)
    for seed, score in ((1, 0.6125), (2, 0.8375)):
        report = {**REPORT, "test_a": {"macro_f1": score}}
        parameters = {**card()["parameters"], "seed": seed}
        outputs = write_model(home, seed=seed, report=report, parameters=parameters)
        tracking.publish(ARCHITECTURE, *outputs)
    return home


@pytest.fixture
def server(home: Path) -> Iterator[str]:
    """The address of a running UI over `home`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(Path(tracking.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", f"from wbc import tracking; tracking.ui({port})"],
        cwd=home,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(240):
        assert process.poll() is None, "the server ended"
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.25)
    raise AssertionError("the server did not answer within a minute")


def _words(url: str, profile: Path) -> str:
    """The text of a page after its scripts have run, its elements parted by |."""
    command = [str(CHROMIUM), *FLAGS, WINDOW, f"--user-data-dir={profile}", "--dump-dom", url]
    page = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    page = re.sub(r"(?s)<(script|style).*?</\1>", "", page)
    return re.sub(r"\|[|\s]*", "|", re.sub(r"<[^>]+>", "|", page))


@pytest.mark.pipeline
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_comparison_page_shows_both_models(home: Path, server: str, tmp_path: Path) -> None:
    store = tracking_store.connect()
    runs = store.client.search_runs([store.experiment_id])
    ids = urllib.parse.quote(json.dumps([run.info.run_id for run in runs]))
    experiments = urllib.parse.quote(json.dumps([store.experiment_id]))

    page = f"{server}/#/compare-runs?runs={ids}&experiments={experiments}"
    words = _words(page, tmp_path / "profile")

    assert "|Comparing 2 Runs from 1 Experiment|" in words
    for run in runs:
        assert f"|{run.info.run_name}|" in words
    assert "|seed|2|1|" in words  # newest first
    assert "|train.epochs|2|2|" in words
    assert "|test_a/macro_f1|" in words
    assert "|0.838|0.613|" in words
    assert not list(home.glob("mlartifacts")), "the server made a second store"
    assert [path.name for path in home.glob("**/*.db")] == ["mlflow.db"]
