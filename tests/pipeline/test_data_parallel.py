"""`dvc repro` trains with two processes: one run, one model, and it survives like one process."""

from pathlib import Path

import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.teams import kill_training
from wbc.model import model_sha256

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
REPRO = ("dvc", "repro", "--no-run-cache", f"train@{NAME}")
TWO = {"train__launcher": "torchrun", "train__processes": 2, "train__epochs": 4}


def test_two_processes_make_one_model_and_go_on_when_killed(repository: Repository) -> None:
    repository.set(**TWO)
    kill_training(repository, NAME, "epoch 2/")
    assert [run.info.status for run in repository.runs()] == ["KILLED"]

    output = repository.run(*REPRO)
    assert f"training {NAME} on 2 x CPU, 1 threads" in output
    assert output.count("continuing an interrupted training after epoch") == 1
    assert output.count("epoch 4/4") == 1 and "arning" not in output
    assert [run.info.status for run in repository.runs()] == ["FINISHED"]
    folder = repository.path / "models" / NAME
    made = ["history.csv", "model.json", "model.safetensors", "seeds", "start"]
    assert sorted(path.name for path in folder.iterdir() if path.name != ".gitignore") == made
    assert left_over(repository.path) == []

    continued, lock = model_sha256(folder), repository.lock()
    undisturbed = repository.run(*REPRO, "--force", "--single-item")
    assert "epoch 1/4" in undisturbed and "continuing" not in undisturbed
    assert (model_sha256(folder), repository.lock()) == (continued, lock)


def left_over(root: Path) -> list[str]:
    return [path.name for path in (root / "scratch").glob("train-*") if path.is_dir()]
