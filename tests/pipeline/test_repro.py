"""`dvc repro` from images to a registered model, again, and after one change at a time."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import preforked
from tests.pipeline.conftest import OUTPUT, Repository, commit, environment_of
from wbc.pixels import evaluation_set_sha256

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
ALL = [
    "download",
    f"weights@{NAME}",
    "split",
    "preprocess",
    "quality",
    f"train@{NAME}",
    f"evaluate@{NAME}",
    "compare",
]


def test_images_in_a_registered_model_out(finished: Repository) -> None:
    said = (finished.path / OUTPUT).read_text(encoding="utf-8")
    assert sorted(finished.ran(said)) == sorted(ALL)
    scores = finished.metrics(NAME)
    assert list(scores) == ["val", "test_a", "test_b"]
    assert set(scores["test_b"]["recall"]) == {"neutrophil", "lymphocyte"}
    [run], [version] = finished.runs(), finished.versions()
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_a/macro_f1"] == scores["test_a"]["macro_f1"]["value"]
    assert run.data.params["train.epochs"] == "2"
    assert run.data.params["split.seed"] and run.data.params["preprocess.input_size"] == "48"
    assert version.run_id == run.info.run_id
    assert {entry.dataset.name for entry in run.inputs.dataset_inputs} >= {"data/pixels"}
    history = finished.mlflow().get_metric_history(run.info.run_id, "epoch/val/macro_f1")
    assert [point.step for point in history] == [1, 2]


def test_predictions_and_figures_are_there(finished: Repository) -> None:
    reports = finished.path / "reports" / NAME
    predictions = pd.read_csv(reports / "predictions.csv", keep_default_na=False)
    columns = [column for column in predictions if str(column).startswith("p_")]
    assert len(columns) == 5
    assert np.allclose(predictions[columns].sum(axis=1), 1, atol=1e-4)
    index = pd.read_csv(finished.path / "data/pixels/index.csv", keep_default_na=False)
    judged = index[index["split"] != "train"]
    for name, cells in predictions.groupby("set"):
        known = judged[judged["split"] == name]
        assert evaluation_set_sha256(cells) == evaluation_set_sha256(known)
    assert len(predictions) == len(judged)
    for name in ("history", "recall", "confusion_val", "mistakes_test_a"):
        png = (reports / "figures" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")


def test_every_score_has_an_interval_around_it(finished: Repository) -> None:
    for scores in finished.metrics(NAME).values():
        names = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "ece", "brier", "log_loss")
        of_classes = ("recall", "precision", "f1", "auroc", "average_precision")
        found = [scores[name] for name in (*names, "aurc")]
        for score in [*found, *(score for name in of_classes for score in scores[name].values())]:
            assert score["low"] <= score["value"] <= score["high"]
        assert scores["interval"] == "smears" and scores["num_groups"] > 1


def test_what_a_person_reads_is_made_and_logged(finished: Repository) -> None:
    reports = finished.path / "reports" / NAME
    page = (reports / "report.html").read_text(encoding="utf-8")
    anchors = "summary data scores confusion curves calibration counts shift mistakes why shortcuts"
    for anchor in [*anchors.split(), "training", "limits", "reproduce", "checklists"]:
        assert f'id="{anchor}"' in page, anchor
    assert "learned from drawn cells" in page
    assert not re.findall(r"(?:src|href)=.(?!data:image/|#)", page)  # opens without a network
    assert "# Model card" in (reports / "model_card.md").read_text(encoding="utf-8")
    counts = pd.read_csv(reports / "counts.csv")
    assert counts.groupby("set")["counted"].sum().to_dict() == {
        name: scores["num_cells"] for name, scores in finished.metrics(NAME).items()
    }
    assert 'id="tests"' in (finished.path / "comparison/compare.html").read_text(encoding="utf-8")
    [run] = finished.runs()
    for folder, name in (
        ("report", "report.html"), ("comparison", "compare.html"), ("data_quality", "issues.html"),
    ):  # fmt: skip
        logged = finished.mlflow().list_artifacts(run.info.run_id, folder)
        assert f"{folder}/{name}" in {entry.path for entry in logged}


def test_planted_faults_are_found(finished: Repository) -> None:
    quarantine = pd.read_csv(finished.path / "data/pixels/quarantine.csv")
    assert len(quarantine) == 3
    copies = pd.read_csv(finished.path / "data/split/duplicates.csv")
    assert {"exact", "near"} <= set(copies["kind"])


def test_the_challenger_is_the_only_model_of_its_validation_set(finished: Repository) -> None:
    index = pd.read_csv(finished.path / "data/pixels/index.csv", keep_default_na=False)
    digest = evaluation_set_sha256(index[index["split"] == "val"])
    model = finished.mlflow().get_registered_model("wbc-classifier")
    [version] = finished.versions()
    assert str(model.aliases["challenger"]) == str(version.version)
    assert digest in json.dumps(version.tags)


def test_a_second_repro_runs_nothing(finished: Repository) -> None:
    before = finished.lock()
    assert finished.ran(finished.run("dvc", "repro")) == []
    assert finished.lock() == before


def test_a_parameter_without_effect_reruns_its_stage_alone(repository: Repository) -> None:
    repository.set(split__max_group_share=0.99)
    assert repository.ran(repository.run("dvc", "repro")) == ["split"]


def test_a_module_reruns_the_stages_that_import_it(repository: Repository) -> None:
    module = repository.path / "wbc" / "explain.py"
    module.write_text(module.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    assert repository.ran(repository.run("dvc", "repro")) == [f"evaluate@{NAME}"]


PREDICT = """
import sys, mlflow, pandas as pd
from pathlib import Path
mlflow.set_tracking_uri(sys.argv[1])
rows = pd.read_csv(sys.argv[2], keep_default_na=False)
images = [(Path(sys.argv[3]) / path).read_bytes() for path in rows["path"]]
model = mlflow.pyfunc.load_model("models:/wbc-classifier/1")
answers = model.predict(pd.DataFrame({"image": images}))
assert list(answers["class"]) == list(rows["predicted"]), answers
columns = [name for name in rows if name.startswith("p_")]
print("largest difference", (answers[columns] - rows[columns]).abs().to_numpy().max())
"""


def test_a_version_answers_as_before_wherever_the_code_has_gone(
    finished: Repository, repository: Repository
) -> None:
    module = repository.path / "wbc" / "imaging.py"
    module.write_text("raise RuntimeError('the workspace is not asked')\n", encoding="utf-8")
    script = repository.path / "predict.py"
    script.write_text(PREDICT, encoding="utf-8")
    database = f"sqlite:///{finished.path}/mlruns/mlflow.db"
    predictions = str(finished.path / "reports" / NAME / "predictions.csv")
    said = repository.run("python", "predict.py", database, predictions, "data/raw")
    assert float(said.split("largest difference")[1]) < 1e-4


def test_other_architectures_train_only_themselves(repository: Repository) -> None:
    """A network and the classical baseline, which is an architecture like the others."""
    others = ["shufflenet_v2_x1_0", "classical"]
    repository.set(architectures=[NAME, *others])
    ran = repository.ran(repository.run("dvc", "repro"))
    stages = ("weights", "train", "evaluate")
    assert sorted(ran) == sorted([*(f"{each}@{o}" for each in stages for o in others), "compare"])
    table = pd.read_csv(repository.path / "comparison" / "compare.csv")
    starts = dict(zip(table["architecture"], table["start"], strict=True))
    assert starts == {NAME: "random", others[0]: "random", "classical": "none"}
    assert set(table.loc[table["start"] == "random", "rank"]) == {1, 2}
    runs = {run.data.tags["architecture"]: run for run in repository.runs()}  # none was there
    assert set(runs) == set(others) == {one.tags["architecture"] for one in repository.versions()}
    assert runs["classical"].data.metrics["cost/latency_ms"] > 0
    assert (repository.path / "mlruns" / "costs.csv").is_file()
    assert repository.ran(repository.run("dvc", "repro")) == []


def test_forced_again_the_lock_stays_the_same_to_the_byte(repository: Repository) -> None:
    """Python walks a set of strings in another order in each process, but not in a fork of it."""
    if preforked.bin_dir():
        forks = Path(tempfile.mkdtemp())  # its server removes it
        preforked.start(forks, os.getpid(), {"PYTHONHASHSEED": "1"})
        repository = Repository(repository.path, environment_of(repository.path, forks))
    before = repository.lock()
    assert sorted(repository.ran(repository.run("dvc", "repro", "--force"))) == sorted(ALL)
    assert repository.lock() == before
    assert len(repository.versions()) == 1


def test_sync_fills_an_empty_mlflow_from_the_outputs_alone(repository: Repository) -> None:
    words = repository.run("python", "-m", "wbc", "sync")
    assert f"{NAME}: published as run {NAME}-" in words
    [run], [version] = repository.runs(), repository.versions()
    scores = repository.metrics(NAME)
    assert run.data.metrics["test_a/macro_f1"] == scores["test_a"]["macro_f1"]["value"]
    assert run.data.params["split.seed"] == "1" and run.data.params["train.epochs"] == "2"
    assert "is there already" in repository.run("python", "-m", "wbc", "sync")
    assert len(repository.runs()) == len(repository.versions()) == 1
    assert version.run_id == run.info.run_id


def test_dvc_shows_metrics_and_plots(repository: Repository) -> None:
    assert "test_a.macro_f1" in repository.run("dvc", "metrics", "show", "--md")
    page = repository.run("dvc", "plots", "show", "-o", "plots")
    assert "index.html" in page
    html = (repository.path / "plots" / "index.html").read_text(encoding="utf-8")
    for name in ("confusion/test_a.csv", "figures/recall.png", "val/macro_f1"):
        assert name in html or name.replace("/", "_") in html, name


def test_a_training_parameter_reruns_training_and_what_follows(repository: Repository) -> None:
    repository.set(train__label_smoothing=0.2)
    assert "train.label_smoothing" in repository.run("dvc", "params", "diff")
    ran = repository.ran(repository.run("dvc", "repro"))
    assert ran == [f"train@{NAME}", f"evaluate@{NAME}", "compare"]
    assert "val.log_loss" in repository.run("dvc", "metrics", "diff")


def test_a_mistake_in_params_stops_before_any_work(repository: Repository) -> None:
    repository.set(train__batch_size="many")
    words = repository.run("python", "-m", "wbc", "check", status=1)
    assert words.startswith("error: params.yaml: train.batch_size is 'many'")
    output = repository.run("dvc", "repro", status=255)
    assert "train.batch_size is 'many'" in output and "Traceback" not in output


def _begun(command: list[str], repository: Repository) -> "subprocess.Popen[str]":
    """The command as soon as DVC has copied the repository, before which it lets no other begin."""
    process = subprocess.Popen(
        command,
        cwd=repository.path,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Reproducing experiment" in line:
            return process
    raise AssertionError("".join(lines))


def test_four_experiments_at_once_make_one_database(repository: Repository) -> None:
    """Four trainings, one of them evaluated too, and nobody has made the database before."""
    commit(repository, "clean")
    repository.set(train__epochs=1, train__head_epochs=0)
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp"]
    started = [
        _begun([*command, f"{stage}@{NAME}", "-S", f"train.label_smoothing=0.{n}"], repository)
        for n, stage in enumerate(["evaluate", "train", "train", "train"], start=1)
    ]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0], "\n".join(said)
    assert not any("MLflow could not" in words for words in said), "\n".join(said)
    runs = repository.runs()
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    assert len({run.data.tags["model_sha256"] for run in runs}) == 4
    [version] = repository.versions()
    [evaluated] = [run for run in runs if run.data.params["train.label_smoothing"] == "0.1"]
    assert version.run_id == evaluated.info.run_id
    names = {run.data.tags["dvc.experiment"] for run in runs}
    shown = repository.run("dvc", "exp", "show", "--csv")
    assert len(names) == 4 and all(name in shown for name in names)
