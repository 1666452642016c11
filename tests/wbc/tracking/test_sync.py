"""wbc.tracking.sync: outputs that MLflow lacks, published once, with what is known of them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_home import ARCHITECTURE, REPORT, lock_model, new_home, write_model
from wbc.errors import UserError
from wbc.lineage import cache as lineage_cache
from wbc.model import model_sha256
from wbc.pixels import evaluation_set_sha256
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store

OTHER = "resnet18"  # by name only: the same small network inside


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path / "home", monkeypatch)


def _runs() -> list[Any]:
    store = tracking_store.connect()
    return list(store.client.search_runs([store.experiment_id]))


def _registry() -> tuple[list[Any], dict[str, str]]:
    client = tracking_store.connect().client
    versions = client.search_model_versions("name = 'wbc-classifier'")
    aliases = client.get_registered_model("wbc-classifier").aliases
    return versions, {name: str(number) for name, number in aliases.items()}


def _report(macro_f1: float) -> dict[str, Any]:
    return {**REPORT, "val": {"accuracy": macro_f1, "macro_f1": macro_f1}}


def test_twice_is_the_same_as_once(home: Path) -> None:
    model_dir, _ = write_model(home)
    write_model(home, seed=2, architecture=OTHER, start="imagenet")

    first = tracking.sync(home)
    registry = _registry()[1]
    second = tracking.sync(home)

    name = f"{ARCHITECTURE}-{model_sha256(model_dir)[:8]}"
    unknown = "(the commit is not known: published later, from"
    assert any(s.startswith(f"{ARCHITECTURE}: published as run {name} {unknown}") for s in first)
    assert f"{ARCHITECTURE}: run {name} is there already." in second
    assert len(_runs()) == len(_registry()[0]) == 2
    assert _registry()[1] == registry and list(registry) == ["challenger"]
    assert tracking.sync(home.parent / "nothing here") == []


def test_only_the_winner_of_each_start_becomes_challenger(home: Path) -> None:
    better, _ = write_model(home, seed=2, architecture=OTHER, report=_report(0.9))
    write_model(home, report=_report(0.6))
    said = tracking.sync(home)

    versions, aliases = _registry()
    (holder,) = [v for v in versions if str(v.version) == aliases["challenger"]]
    assert holder.tags["model_sha256"] == model_sha256(better)
    assert holder.tags["val/macro_f1"] == "0.9" and said[-1].endswith("val/macro_f1 0.9000.")
    (other,) = [v for v in versions if v is not holder]
    assert "evaluation_set_sha256" not in other.tags
    cells = pytest.importorskip("pandas").read_csv(home / f"reports/{OTHER}/predictions.csv")
    named = evaluation_set_sha256(cells[cells["set"] == "val"])
    assert holder.tags["evaluation_set_sha256"] == named


def test_models_of_different_cells_are_published_and_not_ranked(home: Path) -> None:
    write_model(home)
    write_model(home, seed=2, architecture=OTHER, inputs={"pixels": "cd" * 32, "weights": ""})
    assert "The alias challenger was not looked at: All networks" in tracking.sync(home)[-1]
    versions, aliases = _registry()
    assert len(versions) == 2 and aliases == {}


def test_a_deleted_version_comes_back_by_a_persons_wish_only(home: Path) -> None:
    write_model(home)
    tracking.sync(home)
    client = tracking_store.connect().client
    client.delete_model_version("wbc-classifier", "1")
    (run,) = _runs()
    wish = f"remove the tag model_version of its run {run.info.run_name} in the MLflow UI and run"
    assert "was version 1, which was deleted in MLflow; to" in tracking.sync(home)[-1]
    write_model(home, report=_report(0.8))
    published, said = tracking.sync(home)
    assert "published as run" in published and wish in said and _registry() == ([], {})

    client.delete_tag(run.info.run_id, "model_version")
    tracking.sync(home)
    assert len(_registry()[0]) == 1 and list(_registry()[1]) == ["challenger"]


def test_models_of_other_seeds_have_runs_and_no_version(home: Path) -> None:
    tracking.publish(ARCHITECTURE, *write_model(home))
    model_dir, report_dir = write_model(home / "other", seed=2)
    for folder, kind in ((model_dir, "models"), (report_dir, "reports")):
        shutil.copytree(folder, home / kind / ARCHITECTURE / "seeds" / "2")
    sentences = tracking.sync(home)

    assert "is there already" in sentences[0]
    assert sentences[1].startswith(f"{ARCHITECTURE}/seeds/2: published as run")
    assert len(_runs()) == 2 and len(_registry()[0]) == 1


def test_adapted_models_are_published_too(home: Path) -> None:
    adapted = {"from": "cd" * 32, "set": "abroad", "per_class": 3, "seed": 1}
    model_dir, _ = write_model(home / "else", adapted=adapted, start="adapted")
    folder = home / "adapted" / "abroad-3" / f"{ARCHITECTURE}-1"
    shutil.copytree(model_dir, folder)
    results = {"abroad": {"after": {"accuracy": 0.75}, "confusion_after": {"monocyte": 1}}}
    (folder / "before_after.json").write_text(json.dumps({"sets": results}))

    (said,) = tracking.sync(home)
    assert (
        said.startswith(f"adapted/abroad-3/{ARCHITECTURE}-1: published as run")
        and "version 1" in said
    )
    (run,) = _runs()
    assert run.data.metrics["abroad/after/accuracy"] == 0.75
    assert not any("confusion" in name for name in run.data.metrics)
    assert run.data.tags["recorded"] == "afterwards" and "git.commit" not in run.data.tags
    assert tracking.sync(home) == [
        f"adapted/abroad-3/{ARCHITECTURE}-1: run {run.info.run_name} is there already."
    ]
    assert _registry()[1] == {}


def _commit(home: Path) -> str:
    for command in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "x"]):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *who, *command], cwd=home, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=home, capture_output=True, text=True)
    return head.stdout.strip()


def test_the_commit_is_recorded_where_dvc_finds_nothing_changed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(home)
    head = _commit(home)
    monkeypatch.setattr(lineage_cache, "changed_stages", lambda _: {f"train@{OTHER}"})
    tracking.sync(home)
    (run,) = _runs()
    assert run.data.tags["git.commit"] == head and "git.note" not in run.data.tags
    assert _registry()[0][0].tags["git.commit"] == head


@pytest.mark.parametrize("changed", [{"preprocess"}, {f"train@{ARCHITECTURE}"}, None])
def test_a_commit_that_may_be_wrong_is_not_recorded(
    home: Path, monkeypatch: pytest.MonkeyPatch, changed: set[str] | None
) -> None:
    write_model(home)
    _commit(home)
    monkeypatch.setattr(lineage_cache, "changed_stages", lambda _: changed)
    tracking.sync(home)
    (run,) = _runs()
    assert not {"git.commit", "git.dirty", "mlflow.source.git.commit"} & set(run.data.tags)
    assert run.data.tags["git.note"].startswith("the commit is not known")
    assert run.inputs.dataset_inputs  # dvc.lock names this model, so its data are known


def test_a_model_that_dvc_lock_does_not_name_gets_no_data_and_no_version(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_model(home)
    write_model(home / "else", seed=2)
    shutil.copytree(home / "else" / "models", home / "models", dirs_exist_ok=True)
    said = tracking.sync(home)
    (run,) = _runs()
    names = {file.path for file in tracking_store.connect().client.list_artifacts(run.info.run_id)}
    contexts = {entry.tags[0].value for entry in run.inputs.dataset_inputs}
    assert contexts == {"evaluation"} and "lineage" not in names  # the report names its cells
    assert _registry() == ([], {})
    assert "dvc.lock here tells of another model" in caplog.text
    assert said[-1].endswith("is not registered; see the warning.")
    lock_model(home, ARCHITECTURE)
    tracking.sync(home)
    assert len(_registry()[0]) == 1


def test_it_says_when_it_cannot(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model_dir, _ = write_model(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="does not answer: connection refused"):
        tracking.sync(home)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (model_dir / "model.safetensors").unlink()  # as while train is writing
    assert tracking.sync(home) == []


def test_a_changed_report_is_brought_up_to_date(home: Path) -> None:
    tracking.publish(ARCHITECTURE, *write_model(home))
    write_model(home, report={"val": {"accuracy": 0.5, "macro_f1": 0.5}})

    assert "published" in tracking.sync(home)[0]
    (run,) = _runs()
    assert run.data.metrics["val/accuracy"] == 0.5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("models/{}/model.json", "model.json should be a JSON file"),
        ("models/{}/history.csv", "history.csv should be a table"),
        ("reports/{}/metrics.json", "metrics.json should be a JSON file"),
        ("reports/{}/predictions.csv", "predictions.csv should be a table"),
    ],
)
def test_a_damaged_file_is_no_fault_of_mlflow(home: Path, name: str, words: str) -> None:
    write_model(home)
    path = home / name.format(ARCHITECTURE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=words) as error:
        tracking.sync(home)
    assert "dvc checkout" in str(error.value) and "MLflow" not in str(error.value)
    assert _runs() == _registry()[0] == []


def test_predictions_that_lack_cells_are_not_published(home: Path) -> None:
    write_model(home)
    path = home / "reports" / ARCHITECTURE / "predictions.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match="has 0 of the 1 cells of test_a that"):
        tracking.sync(home)
    assert _runs() == []
