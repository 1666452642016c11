"""Two processes make one run and one model; a kill costs little, in the second seed as well."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.teams import kill_training
from wbc.model import model_sha256

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
REPRO = ("dvc", "repro", "--no-run-cache", f"train@{NAME}")
# Many short epochs: the killed ones must not come to the end before they notice.
TWO = {
    "train__launcher": "torchrun",
    "train__processes": 2,
    "train__epochs": 8,
    "train__patience": 8,
}


def test_two_processes_and_two_seeds_go_on_when_killed(repository: Repository) -> None:
    repository.set(**TWO)
    kill_training(repository, NAME, "epoch 2/")
    assert [run.info.status for run in repository.runs()] == ["KILLED"]

    output = repository.run(*REPRO)
    assert f"training {NAME} on 2 x CPU, 1 threads" in output
    assert output.count("continuing an interrupted training after epoch") == 1
    assert output.count("epoch 8/8") == 1 and "arning" not in output
    assert [run.info.status for run in repository.runs()] == ["FINISHED"]
    folder = repository.path / "models" / NAME
    made = ["history.csv", "model.json", "model.safetensors", "reference.safetensors"]
    made += ["seeds", "start"]
    assert sorted(path.name for path in folder.iterdir() if path.name != ".gitignore") == made
    assert left_over(repository.path) == []

    continued = model_sha256(folder)

    repository.set(train__seeds=[1, 7])  # seed 1 once more, undisturbed, and another
    kill_training(repository, NAME, "seed 7, 2 of 2", "epoch 2/")
    output = repository.run("dvc", "repro", "--no-run-cache", f"evaluate@{NAME}")
    assert "seed 1 was trained before the interruption" in output
    assert output.count("continuing an interrupted training after epoch") == 1
    other = model_sha256(folder / "seeds" / "7")
    assert model_sha256(folder) == continued != other
    assert left_over(repository.path) == []
    assert_both_seeds_are_judged(repository, continued, other)


def assert_both_seeds_are_judged(repository: Repository, first: str, other: str) -> None:
    reports = repository.path / "reports" / NAME
    assert list(dict.fromkeys(pd.read_csv(reports / "seeds.csv")["seed"])) == [1, 7]
    runs = {run.data.tags["model_sha256"]: run for run in repository.runs()}
    assert set(runs) == {first, other}
    scores = json.loads((reports / "seeds" / "7" / "metrics.json").read_text(encoding="utf-8"))
    found = runs[other].data.metrics["test_a/macro_f1"]
    assert found == scores["test_a"]["macro_f1"]["value"]
    assert runs[other].data.params["seed"] == "7" and runs[first].data.params["seed"] == "1"
    assert [version.tags["model_sha256"] for version in repository.versions()] == [first]


def left_over(root: Path) -> list[str]:
    return [path.name for path in (root / "scratch").glob("train-*") if path.is_dir()]
