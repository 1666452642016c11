"""wbc.tracking.adapt: from a registered version to a run and a version of the adapted model."""

import json
from pathlib import Path

import pytest

from tests.mlflow_home import ARCHITECTURE, new_home, write_model, write_reference
from wbc.errors import UserError
from wbc.model import model_sha256
from wbc.tracking import adapt as tracking_adapt
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store

ADAPTED = {"from": "cd" * 32, "set": "abroad", "per_class": 3, "seed": 1}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path / "home", monkeypatch)


def test_a_version_is_fetched_whole_and_an_adapted_one_registered(home: Path) -> None:
    model_dir, report_dir = write_model(home, temperature=2.0)
    write_reference(model_dir)
    tracking.publish(ARCHITECTURE, model_dir, report_dir)
    client = tracking_store.connect().client
    client.set_registered_model_alias("wbc-classifier", "challenger", "1")
    with tracking_adapt.model_folder("models:/wbc-classifier@challenger", home) as folder:
        assert model_sha256(folder) == model_sha256(model_dir)
        kept = (folder / "reference.safetensors").read_bytes()
    assert kept == (model_dir / "reference.safetensors").read_bytes()
    assert not folder.exists()

    new_dir, _ = write_model(home / "else", seed=2, adapted=ADAPTED, start="adapted")
    (new_dir / "report.md").write_text("better")
    scores = {"abroad/after/accuracy": 0.75}
    said = tracking_adapt.publish(home, new_dir, scores)
    assert said.endswith("version 2 of wbc-classifier, no alias moved.")
    assert tracking_adapt.publish(home, new_dir, scores) == said
    (version,) = client.search_model_versions(f"tags.model_sha256 = '{model_sha256(new_dir)}'")
    assert version.tags["adapted_from"] == "cd" * 32 and version.tags["per_class"] == "3"
    assert version.tags["adapted_to"] == "abroad" and version.tags["start"] == "adapted"
    run = client.get_run(version.run_id)
    tag = f"tags.model_sha256 = '{model_sha256(new_dir)}'"
    assert len(client.search_runs([run.info.experiment_id], tag)) == 1
    assert run.data.metrics["abroad/after/accuracy"] == 0.75 and run.info.status == "FINISHED"
    assert run.data.tags["adapted_from"] == "cd" * 32
    aliases = client.get_registered_model("wbc-classifier").aliases
    assert aliases == {"challenger": 1} or aliases == {"challenger": "1"}
    names = {file.path for file in client.list_artifacts(run.info.run_id, "adapted")}
    assert "adapted/report.md" in names


def test_what_is_not_there_is_said_in_a_sentence(home: Path) -> None:
    for reference in ("models:/wbc-classifier@nobody", "models:/wbc-classifier/9", "models:/x/1"):
        with (
            pytest.raises(UserError, match=f"{reference} cannot be had from the registry"),
            tracking_adapt.model_folder(reference, home),
        ):
            pass


def test_without_mlflow_the_folder_stays_and_a_sentence_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_dir, _ = write_model(home, adapted=ADAPTED)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    said = tracking_adapt.publish(home, model_dir, {})
    assert "connection refused" in said and "is complete without MLflow" in said
    assert json.loads((model_dir / "model.json").read_text())["adapted"] == ADAPTED
