"""train and evaluate with several seeds: which one is the model, what an interruption costs."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from stages import evaluate, train
from tests.pipeline.conftest import ROOT, set_params
from tests.wbc.stores import make_store
from wbc import reference
from wbc.errors import UserError
from wbc.model import model_sha256
from wbc.seeds import read_others

NAME = "squeezenet1_1"
QUICK = {
    "architectures": [NAME],
    "model.weights": "none",
    "train.device": "cpu",
    "train.threads": 1,
    "train.epochs": 2,
    "train.head_epochs": 1,
    "train.batch_size": 8,
}


class Live:
    """In the place of an MLflow run."""

    def log_epoch(self, epoch: int, row: Any) -> None:
        pass

    def finish(self, model_dir: Path) -> None:
        assert (model_dir / "model.json").is_file()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A repository with pixels and a random start around this process; the seeds of its runs."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    set_params(tmp_path, QUICK)
    make_store(tmp_path / "data" / "pixels")
    start = tmp_path / "models" / NAME / "start"
    start.mkdir(parents=True)
    card = {"architecture": NAME, "start": "random", "sha256": "", "note": ""}
    (start / "start.json").write_text(json.dumps(card))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["train", NAME])
    monkeypatch.setattr("wbc.processes.end_with_dvc", lambda: None)
    seen: list[int] = []

    @contextmanager
    def run(name: str, flat: dict[str, Any], where: str, run_file: Path) -> Iterator[Live]:
        assert "train.seeds" not in flat
        seen.append(flat["seed"])
        yield Live()

    monkeypatch.setattr("wbc.tracking.runs.training_run", run)
    return seen


def identities() -> dict[str, str]:
    folders = [Path("models") / NAME, *read_others(Path("models") / NAME).values()]
    for folder in folders:
        found = reference.read(folder / reference.REFERENCE_FILE)
        assert found is not None and (len(found.features), len(found.distances)) == (40, 20)
    return {folder.name: model_sha256(folder) for folder in folders}


def test_one_seed_is_the_model_whether_it_is_listed_or_not(runs: list[int]) -> None:
    train.main()
    alone = identities()
    set_params(Path(), {"train.seeds": [1, 5]})
    train.main()
    assert runs == [1, 1, 5]
    assert list(identities()) == [NAME, "5"]
    assert identities()[NAME] == alone[NAME] != identities()["5"]
    card = json.loads(Path("models", NAME, "seeds", "5", "model.json").read_text())
    assert card["parameters"]["seed"] == 5 and "train.seeds" not in card["parameters"]
    assert not list(Path("scratch").iterdir())

    set_params(Path(), {"train.seeds": [], "seed": 5})
    train.main()
    assert list(identities()) == [NAME]
    assert identities()[NAME] not in alone.values()


def test_an_interrupted_seed_costs_no_finished_one(
    runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_params(Path(), {"train.seeds": [1, 2]})
    fit = train.training.fit

    def interrupted(network: Any, store: Any, plan: Any, *rest: Any) -> Any:
        if plan.seed == 2:
            raise KeyboardInterrupt
        return fit(network, store, plan, *rest)

    monkeypatch.setattr("wbc.training.fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.main()
    kept = [path for path in Path("scratch").glob("*/*") if path.is_dir()]
    assert [path.name for path in kept] == ["model"]  # no checkpoint of what is finished
    first = model_sha256(kept[0])

    monkeypatch.setattr("wbc.training.fit", fit)
    train.main()
    assert runs == [1, 2, 2]
    assert identities()[NAME] == first
    assert not list(Path("scratch").iterdir())


def test_another_device_goes_on_from_no_checkpoint(
    runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("wbc.training.fit", interrupted)
    pick = train.device.pick
    for name in ("CPU, 1 threads, 32 bit", "a GPU, bf16"):
        monkeypatch.setattr(
            "wbc.device.pick", lambda *asked, name=name: replace(pick(*asked), name=name)
        )
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                train.main()
    assert len([path for path in Path("scratch").iterdir() if path.is_dir()]) == 2
    assert runs == [1] * 4


def test_views_of_few_cells_are_refused_before_a_run_begins(runs: list[int]) -> None:
    start = {"architecture": NAME, "start": "file", "sha256": "", "note": ""}
    Path("models", NAME, "start", "start.json").write_text(json.dumps(start))
    set_params(Path(), {"train.cache_views": 8, "model.weights": "auto"})
    with pytest.raises(UserError, match=r"train.cache_views is 8, which needs at least 750"):
        train.main()
    assert not runs


def test_evaluate_scores_all_seeds(runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    set_params(Path(), {"train.seeds": [3, 1]})
    train.main()
    published: list[tuple[str, bool]] = []

    def publish(name: str, model_dir: Path, report_dir: Path, registered: bool = True) -> None:
        assert (report_dir / "metrics.json").is_file()
        published.append((model_dir.as_posix(), registered))

    monkeypatch.setattr("wbc.tracking.runs.publish", publish)
    evaluate.main()
    assert published == [(f"models/{NAME}", True), (f"models/{NAME}/seeds/1", False)]

    reports = Path("reports", NAME)
    table = pd.read_csv(reports / "seeds.csv")
    assert list(table["seed"]) == [3, 3, 1, 1] and list(table["set"]) == ["val", "test"] * 2
    scores = json.loads((reports / "metrics.json").read_text())
    assert table["macro_f1"][0] == scores["val"]["macro_f1"]["value"]
    summary = json.loads((reports / "seeds.json").read_text())["val"]["macro_f1"]
    assert summary["values"] == list(table[table["set"] == "val"]["macro_f1"])
    assert summary["mean"] == pytest.approx(sum(summary["values"]) / 2, abs=1e-6)
    assert {path.name for path in (reports / "curves").iterdir()} == {
        "roc.csv", "pr.csv", "risk_coverage.csv", "reliability.csv",
    }  # fmt: skip
    figures = {path.name for path in (reports / "figures").iterdir()}
    assert figures >= {"recall.png", "risk_coverage.png", "roc_pr_val.png", "reliability_test.png"}
    assert YAML(typ="safe").load(Path("params.yaml"))["train"]["seeds"] == [3, 1]
    card = json.loads(Path("models", NAME, "model.json").read_text())
    assert card["temperature"] != 1.0
