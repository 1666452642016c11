"""wbc.tracking.runs: one run a model, live and best effort, or written again from the outputs."""

import logging
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.mlflow_home import ARCHITECTURE, card, new_home, write_model
from wbc.model import model_sha256
from wbc.tracking import log as tracking_log
from wbc.tracking import record as tracking_record
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store

PARAMETERS = card()["parameters"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path / "a räther odd name", monkeypatch)


def _runs() -> list[Any]:
    store = tracking_store.connect()
    return list(store.client.search_runs([store.experiment_id]))


def _only_run() -> Any:
    (run,) = _runs()
    return run


def _artifacts(run: Any, folder: str = "") -> set[str]:
    client = tracking_store.connect().client
    found: set[str] = set()
    for item in client.list_artifacts(run.info.run_id, folder or None):
        found |= _artifacts(run, item.path) if item.is_dir else {item.path}
    return found


def _curve(run: Any, name: str) -> list[tuple[int, float]]:
    points = tracking_store.connect().client.get_metric_history(run.info.run_id, name)
    return sorted((point.step, point.value) for point in points)


def _train(model_dir: Path) -> None:
    with tracking.training_run(ARCHITECTURE, parameters=PARAMETERS, device="a CPU") as run:
        for epoch, metrics in tracking_record.history(model_dir).items():
            run.log_epoch(epoch, {k.removeprefix("epoch/"): v for k, v in metrics.items()})
        run.finish(model_dir)


def test_a_training_is_seen_while_it_runs(home: Path) -> None:
    with tracking.training_run(ARCHITECTURE, parameters=PARAMETERS, device="a CPU") as run:
        run.log_epoch(1, {"train/loss": 1.5, "val/loss": float("nan")})
        run.log_epoch(2, {"train/loss": 1.25, "val/loss": float("inf")})
        seen = _only_run()

    assert (seen.info.status, seen.info.run_name) == ("RUNNING", ARCHITECTURE)
    assert seen.data.params == {"seed": "1", "train.augment.flips": "true", "train.epochs": "2"}
    assert seen.data.metrics == {"epoch/train/loss": 1.25}
    assert _curve(seen, "epoch/train/loss") == [(1, 1.5), (2, 1.25)]
    assert seen.data.tags["recorded"] == "live"
    assert seen.data.tags["device"] == "a CPU"
    named = {"processor", "version.torch", "version.scikit-learn", "version.python"}
    assert named <= set(seen.data.tags)
    assert _only_run().info.status == "FINISHED"


@pytest.mark.parametrize(
    ("raised", "status"),
    [(ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED")],
)
def test_an_interrupted_training_says_so(home: Path, raised: BaseException, status: str) -> None:
    with (
        pytest.raises(type(raised)),
        tracking.training_run(ARCHITECTURE, parameters={}, device="a CPU"),
    ):
        raise raised
    assert _only_run().info.status == status


def test_sigterm_closes_the_run(home: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(SystemExit) as ended,
        tracking.training_run(ARCHITECTURE, parameters={}, device="a CPU"),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert ended.value.code == 128 + signal.SIGTERM
    assert _only_run().info.status == "KILLED"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_sigterm_does_not_keep_the_run_from_being_closed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = tracking.TrainingRun.end

    def told_again(run: tracking.TrainingRun, status: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        end(run, status)

    monkeypatch.setattr(tracking.TrainingRun, "end", told_again)
    with (
        pytest.raises(SystemExit),
        tracking.training_run(ARCHITECTURE, parameters={}, device="a CPU"),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
    assert _only_run().info.status == "KILLED"


@pytest.mark.parametrize(
    ("method", "raised", "status"),
    [("create_run", SystemExit, "KILLED"), ("set_terminated", ValueError, "FAILED")],
)
def test_no_signal_breaks_off_what_is_said_to_mlflow(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    raised: type[BaseException],
    status: str,
) -> None:
    real = getattr(MlflowClient, method)

    def signalled(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments, **named)

    monkeypatch.setattr(MlflowClient, method, signalled)
    with (
        pytest.raises(raised),
        tracking.training_run(ARCHITECTURE, parameters={}, device="a CPU"),
    ):
        raise ValueError
    assert _only_run().info.status == status


def test_train_and_evaluate_share_one_run(home: Path) -> None:
    model_dir, report_dir = write_model(home)
    _train(model_dir)
    tracking.publish(ARCHITECTURE, model_dir, report_dir)

    run = _only_run()
    sha256 = model_sha256(model_dir)
    assert run.info.run_name == f"{ARCHITECTURE}-{sha256[:8]}"
    assert run.info.status == "FINISHED"
    assert run.data.tags["model_sha256"] == sha256
    assert run.data.tags["start"] == "random"
    assert run.data.tags["model_version"] == "1"
    metrics = run.data.metrics
    assert metrics["val/macro_f1"] == 0.7
    assert metrics["test_a/macro_f1"] == 0.6
    assert metrics["best/epoch"] == 2
    assert "val/recall/basophil" not in metrics  # not defined: None
    assert _curve(run, "epoch/val/macro_f1") == [(1, 0.4), (2, 0.7)]
    assert {
        "report/figures/confusion.png",
        "report/metrics.json",
        "report/predictions.csv",
        "training/history.csv",
        "training/model.json",
        "lineage/dvc.lock",
    } <= _artifacts(run)


def test_data_are_inputs_with_dvcs_hashes(home: Path) -> None:
    tracking.publish(ARCHITECTURE, *write_model(home))

    inputs = _only_run().inputs.dataset_inputs
    found = {(i.dataset.name, i.dataset.digest[:4], i.tags[0].value) for i in inputs}
    assert found == {
        ("data/raw", "1111", "training"),
        ("data/pixels", "2222", "training"),
        ("val", "67de", "evaluation"),  # by its cells and labels
        ("test_a", "485d", "evaluation"),
    }
    (raw,) = [i.dataset for i in inputs if i.dataset.name == "data/raw"]
    assert raw.digest == "1" * 32 + ".dir"
    assert "barcelona" in raw.source


def test_publishing_twice_is_publishing_once(home: Path) -> None:
    outputs = write_model(home)
    _train(outputs[0])

    def everything() -> Any:
        run = _only_run()
        histories = {name: _curve(run, name) for name in run.data.metrics}
        inputs = sorted(i.dataset.name for i in run.inputs.dataset_inputs)
        versions = tracking_store.connect().client.search_model_versions("name = 'wbc-classifier'")
        return run.data.tags, run.data.params, histories, inputs, len(versions), _artifacts(run)

    tracking.publish(ARCHITECTURE, *outputs)
    once = everything()
    tracking.publish(ARCHITECTURE, *outputs)
    assert everything() == once


def test_outputs_alone_give_the_same_run(home: Path) -> None:
    outputs = write_model(home)
    _train(outputs[0])
    tracking.publish(ARCHITECTURE, *outputs)
    live = _only_run()
    store = tracking_store.connect()
    store.client.delete_run(live.info.run_id)

    tracking.publish(ARCHITECTURE, *outputs)

    again = _only_run()
    assert again.info.run_id != live.info.run_id
    assert again.info.run_name == live.info.run_name
    assert again.info.status == "FINISHED"
    assert again.data.params == live.data.params
    assert again.data.metrics == live.data.metrics
    assert _artifacts(again) == _artifacts(live)
    assert again.data.tags["recorded"] == "afterwards"
    assert "device" not in again.data.tags  # the machine that publishes did not train


def test_a_repeated_training_reproduces_a_version(home: Path) -> None:
    outputs = write_model(home)
    for _ in range(2):
        _train(outputs[0])
        tracking.publish(ARCHITECTURE, *outputs)

    newest, oldest = _runs()
    assert oldest.data.tags["model_version"] == "1"
    assert newest.data.tags["reproduces"] == "1"
    assert newest.data.metrics == oldest.data.metrics
    client = tracking_store.connect().client
    assert len(client.search_model_versions("name = 'wbc-classifier'")) == 1


def test_runs_of_the_same_experiment_are_completed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = write_model(home)
    monkeypatch.setenv("DVC_EXP_NAME", "able-newt")
    _train(outputs[0])
    monkeypatch.setenv("DVC_EXP_NAME", "bold-crab")
    _train(outputs[0])

    monkeypatch.setenv("DVC_EXP_NAME", "able-newt")
    tracking.publish(ARCHITECTURE, *outputs)

    scored = {
        run.data.tags["dvc.experiment"]: "val/accuracy" in run.data.metrics for run in _runs()
    }
    assert scored == {"able-newt": True, "bold-crab": False}


def test_git_is_read_where_the_stage_runs(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"  # as under `dvc exp run --temp`
    copy.mkdir()
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x", "--allow-empty"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *command], cwd=copy, check=True)
    (copy / "new.py").write_text("x = 1\n")
    monkeypatch.chdir(copy)

    tracking.publish(ARCHITECTURE, *write_model(copy))

    run = _only_run()
    assert run.data.tags["git.dirty"] == "true"
    assert len(run.data.tags["git.commit"]) == 40
    assert "lineage/uncommitted.patch" in _artifacts(run)
    assert list((home / "mlruns" / "artifacts").iterdir())


def test_a_dead_server_costs_one_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outputs = write_model(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "wbc"):
        _train(outputs[0])

    assert time.monotonic() - started < 10
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "`python -m wbc sync` publishes them later" in warning
    caplog.clear()
    tracking.publish(ARCHITECTURE, *outputs)
    assert len(caplog.records) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert _runs() == []


def test_an_epoch_that_is_trained_again_is_one_point(home: Path) -> None:
    """SIGKILL between an epoch's points and its checkpoint: the epoch comes twice."""
    run_file = home / "mlflow_run"

    def train(*epochs: int) -> None:
        with tracking.training_run(ARCHITECTURE, PARAMETERS, "a CPU", run_file) as run:
            for epoch in epochs:
                run.log_epoch(epoch, {"train/loss": 1 / epoch, "val/loss": 2 / epoch})

    train(1, 2)
    train(2, 3)

    run = _only_run()
    assert _curve(run, "epoch/train/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert _curve(run, "epoch/val/loss") == [(1, 2.0), (2, 1.0), (3, 2 / 3)]


def test_a_run_that_was_killed_after_its_model_is_finished_once(home: Path) -> None:
    model_dir, _ = write_model(home)
    run_file = home / "mlflow_run"
    again = ARCHITECTURE, PARAMETERS, "a CPU", run_file, model_dir

    tracking.finish_killed(*again)
    assert _runs() == []  # no file, no run
    with tracking.training_run(ARCHITECTURE, PARAMETERS, "a CPU", run_file) as run:
        run.log_epoch(1, {"train/loss": 1.5})
    client = tracking_store.connect().client
    client.update_run(_only_run().info.run_id, status="RUNNING")  # as SIGKILL leaves it
    tracking.finish_killed(*again)
    first = _only_run()
    assert first.info.status == "FINISHED" and first.info.run_name.startswith(f"{ARCHITECTURE}-")
    assert first.data.tags["model_sha256"] == model_sha256(model_dir)
    assert _curve(first, "epoch/train/loss") == [(1, 1.5)]

    tracking.finish_killed(*again)
    assert _only_run().info.end_time == first.info.end_time  # it had ended
    client.delete_run(first.info.run_id)
    tracking.finish_killed(*again)
    run_file.write_text("0" * 32)  # of another server
    tracking.finish_killed(*again)
    assert _runs() == []


def test_a_server_that_dies_halfway_leaves_gaps_that_are_filled(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outputs = write_model(home)

    def dead(*_: Any) -> None:
        raise ConnectionError("gone")

    with caplog.at_level(logging.WARNING, "wbc"):
        with tracking.training_run(ARCHITECTURE, parameters=PARAMETERS, device="a CPU") as run:
            run.log_epoch(1, {"train/loss": 1.5})
            with monkeypatch.context() as patched:
                patched.setattr(tracking_log, "log_epoch", dead)
                run.log_epoch(2, {"train/loss": 1.25})
                run.log_epoch(3, {"train/loss": 1.0})
            run.finish(outputs[0])
        assert len(caplog.records) == 1
    tracking.publish(ARCHITECTURE, *outputs)

    run = _only_run()
    assert run.info.status == "FINISHED"
    assert _curve(run, "epoch/train/loss") == [(1, 1.5), (2, 1.25)]


def test_a_note_that_cannot_be_written_fails_no_training(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model_dir, _ = write_model(home)
    (home / "mlruns" / "open_runs").write_text("no folder")
    _train(model_dir)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "open_runs" in warning
    run = _only_run()
    assert run.info.status == "FINISHED"
    assert run.data.tags["model_sha256"] == model_sha256(model_dir)
