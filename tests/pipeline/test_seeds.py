"""`train.seeds` with two processes: a kill in the second seed costs nothing of the first."""

import json

import pandas as pd
import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.teams import kill_training
from wbc.model import model_sha256

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
REPRO = ("dvc", "repro", "--no-run-cache", f"evaluate@{NAME}")


def test_two_seeds_with_two_processes_through_a_kill(repository: Repository) -> None:
    first = repository.path / "models" / NAME
    repository.set(train__launcher="torchrun", train__processes=2, train__epochs=3)
    repository.run(*REPRO)
    alone = model_sha256(first)

    repository.set(train__seeds=[1, 7])
    kill_training(repository, NAME, "seed 7, 2 of 2", "epoch 2/")
    output = repository.run(*REPRO)
    assert "seed 1 was trained before the interruption" in output
    assert output.count("continuing an interrupted training after epoch") == 1
    other = model_sha256(first / "seeds" / "7")
    assert model_sha256(first) == alone != other
    assert not [path for path in (repository.path / "scratch").glob("train-*") if path.is_dir()]

    table = pd.read_csv(repository.path / "reports" / NAME / "seeds.csv")
    assert list(dict.fromkeys(table["seed"])) == [1, 7]
    runs = {run.data.tags["model_sha256"]: run for run in repository.runs()}
    assert set(runs) == {alone, other}
    scores = json.loads(
        (repository.path / "reports" / NAME / "seeds" / "7" / "metrics.json").read_text()
    )
    found = runs[other].data.metrics["test_a/macro_f1"]
    assert found == scores["test_a"]["macro_f1"]["value"]
    assert runs[other].data.params["seed"] == "7" and runs[alone].data.params["seed"] == "1"
    assert [version.run_id for version in repository.versions()] == [runs[alone].info.run_id]
