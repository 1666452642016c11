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
from typing import Any

import pandas as pd
import pytest
import requests
from PIL import Image

from tests.mlflow_home import ARCHITECTURE, REPORT, card, new_home, write_model
from wbc.pixels import evaluation_set_sha256
from wbc.registry import versions
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store
from wbc.tracking import views as tracking_views

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000")
WINDOW = "--window-size=2400,3000"
PREDICTIONS = """path,set,group,label,predicted,sha256
a.png,val,1,monocyte,monocyte,aa
b.png,val,2,neutrophil,monocyte,bb
c.png,test_a,3,monocyte,monocyte,cc
"""
SETTINGS = {  # beside those of the card, what the chart of parallel coordinates shows
    "architecture": ARCHITECTURE,
    "model.dropout": 0.2,
    "train.learning_rate": 0.001,
    "train.unfreeze": "upper",
    "train.patience": 5.0,
}
pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository with two published models of different parameters and scores."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        home = new_home(tmp_path_factory.mktemp("ui") / "home", monkeypatch)
        monkeypatch.setattr(versions, "package", lambda *_: None)
        monkeypatch.setattr("mlflow.MlflowClient.log_model_artifacts", lambda *_: None)
        for seed, score in ((1, 0.6125), (2, 0.8375)):
            monkeypatch.setenv("DVC_EXP_NAME", f"seed={seed}")
            report = {
                "val": {**REPORT["val"], "macro_f1": {"value": score, "low": 0.5, "high": 0.9}},
                "test_a": {"macro_f1": score, "support": {"monocyte": 12}},
            }
            parameters = {**card()["parameters"], **SETTINGS, "seed": seed}
            outputs = write_model(home, seed, report, parameters=parameters, drawn=True)
            Image.new("RGB", (40, 30), "red").save(outputs[1] / "figures" / "confusion.png")
            (outputs[1] / "report.html").write_text("<h1>What is known</h1>")
            (outputs[1] / "predictions.csv").write_text(PREDICTIONS)
            tracking.publish(ARCHITECTURE, *outputs)
        monkeypatch.delenv("DVC_EXP_NAME")
        store = tracking_store.connect()
        store.client.set_registered_model_alias(tracking_store.MODEL, "challenger", "2")
        yield home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[str]:
    """The address of a running UI over `home`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(Path(tracking.__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", f"from wbc.tracking import server; server.ui({port})"],
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


def _page(url: str, profile: Path) -> str:
    """A page after its scripts have run."""
    command = [str(CHROMIUM), *FLAGS, WINDOW, f"--user-data-dir={profile}", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


def _words(url: str, profile: Path) -> str:
    """The text of a page, its elements parted by |."""
    page = _page(url, profile)
    page = re.sub(r"(?s)<(script|style).*?</\1>", "", page)
    return re.sub(r"\|[|\s]*", "|", re.sub(r"<[^>]+>", "|", page))


def _runs() -> list[Any]:
    """Newest first."""
    store = tracking_store.connect()
    return list(store.client.search_runs([store.experiment_id]))


def test_the_run_list_opens_on_scores(server: str, tmp_path: Path) -> None:
    words = _words(f"{server}/#/experiments/1/runs?{tracking_views.QUERY}", tmp_path)

    assert "|1 Scores, best on validation first|" in words
    newest, oldest = _runs()
    assert words.index(newest.info.run_name) < words.index(oldest.info.run_name)  # 0.84 first
    for title in ("val/macro_f1", "test_a/macro_f1", "start", "dvc.experiment"):
        assert f"|{title}|" in words
    for value in ("0.8375", "0.6125", "seed=2"):
        assert f"|{value}|" in words
    assert "|Model registry|" in words and "|Prompts|" not in words


def test_parallel_coordinates_are_ready(server: str, tmp_path: Path) -> None:
    query = "workflowType=machine_learning&viewStateShareKey=parallel&compareRunsMode=CHART"
    words = _words(f"{server}/#/experiments/1/runs?{query}", tmp_path)

    assert "|Settings and scores|(1)|" in words  # 0 where no run has all of the chart's columns
    assert "|val/ece|" not in words  # no run has it: an empty chart would be in the way


def test_two_runs_are_compared(home: Path, server: str, tmp_path: Path) -> None:
    ids = urllib.parse.quote(json.dumps([run.info.run_id for run in _runs()]))
    page = f"{server}/#/compare-runs?runs={ids}&experiments=%5B%221%22%5D"
    words = _words(page, tmp_path)

    assert "|Comparing 2 Runs from 1 Experiment|" in words
    assert "|Parallel Coordinates Plot|" in words
    for run in _runs():
        assert f"|{run.info.run_name}|" in words
    assert "|seed|2|1|" in words  # newest first
    assert "|train.epochs|2|2|" in words
    assert "|train.patience|5|5|" in words
    assert "|test_a/macro_f1|" in words
    assert "|0.838|0.613|" in words
    assert not list(home.glob("mlartifacts")), "the server made a second store"
    assert [path.name for path in home.glob("**/*.db")] == ["mlflow.db"]


def test_a_run_says_what_it_is(server: str, tmp_path: Path) -> None:
    run = _runs()[0]
    words = _words(f"{server}/#/experiments/1/runs/{run.info.run_id}", tmp_path)

    assert "TRAINED ON DRAWN CELLS, for trying the pipeline" in words
    assert "|DVC experiment |seed=2|(|dvc exp apply seed=2|)." in words  # Markdown
    for name in ("val/macro_f1/low", "train.epochs", "architecture", "wbc-classifier"):
        assert f"|{name}" in words
    assert "support/" not in words, "counts of cells are in the report"
    assert "wbc.process" not in words, "this tag is for the program, not for people"


def test_data_sets_are_named_by_what_they_hold(server: str, tmp_path: Path) -> None:
    inputs = {entry.dataset.name: entry.dataset for entry in _runs()[0].inputs.dataset_inputs}
    cells = pd.DataFrame({"sha256": ["aa", "bb"], "label": ["monocyte", "neutrophil"]})
    assert inputs["val"].digest == evaluation_set_sha256(cells)[:36]
    assert json.loads(inputs["val"].profile) == {"num_rows": 2}

    query = "workflowType=machine_learning"  # without a view: MLflow's own columns
    words = _words(f"{server}/#/experiments/1/runs?{query}", tmp_path)
    assert "data/raw" in words and inputs["data/raw"].digest[:12] in words


def test_figures_and_the_report_open(server: str, tmp_path: Path) -> None:
    page = f"{server}/#/experiments/1/runs/{_runs()[0].info.run_id}/artifacts/report"
    words = _words(page, tmp_path)
    for name in ("report", "training", "lineage", "figures", "report.html"):
        assert f"|{name}|" in words

    picture = _page(f"{page}/figures/confusion.png", tmp_path)
    assert re.search(r"<img[^>]+confusion\.png", picture)
    assert "<iframe" in _page(f"{page}/report.html", tmp_path)


def test_the_registry_is_readable(server: str, tmp_path: Path) -> None:
    words = _words(f"{server}/#/models/{tracking_store.MODEL}", tmp_path)
    assert "Not a medical device" in words
    assert "|Version 2|" in words and "|Version 1|" in words
    assert re.search(r"@(&nbsp;|\W)*challenger", words)

    words = _words(f"{server}/#/models/{tracking_store.MODEL}/versions/2", tmp_path)
    assert "TRAINED ON DRAWN CELLS" in words and "validation macro-F1 0.838" in words
    assert re.search(r"@(&nbsp;|\W)*challenger", words)
    for name, value in (("architecture", ARCHITECTURE), ("drawn", "true")):
        assert f"|{name}|{value}|" in words
