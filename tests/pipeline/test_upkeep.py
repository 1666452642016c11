"""A repository that is moved, cleaned and synced: real DVC, real MLflow, one small repro."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.pipeline.conftest import Repository

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
LOAD = """
import sys
from wbc.tracking import store as tracking_store
from pathlib import Path
tracking_store.connect(Path.cwd())
import mlflow.pyfunc
print("loaded", mlflow.pyfunc.load_model(sys.argv[1]).metadata.run_id)
"""


def copy_of(finished: Repository, path: Path) -> Repository:
    """With its mlruns/, as `cp -r` makes it."""
    shutil.copytree(finished.path, path, symlinks=True)
    return Repository(path, finished.environment)


def load(repository: Repository, reference: str) -> str:
    return repository.run("python", "-c", LOAD, reference)


def test_a_moved_repository_is_noticed_mended_and_works(
    finished: Repository, tmp_path: Path
) -> None:
    moved = copy_of(finished, tmp_path / "moved here")
    artifacts = {path: path.stat().st_mtime_ns for path in finished.path.glob("mlruns/**/*")}
    said = moved.run("dvc", "repro", "--force", "--single-item", f"evaluate@{NAME}")
    assert said.count("type `python -m wbc relocate`") == 1 and "Traceback" not in said
    said = moved.run("python", "-m", "wbc", "sync", status=1)
    assert said.startswith("error: This repository was moved or copied") and said.count("\n") == 1

    said = moved.run("python", "-m", "wbc", "relocate")
    assert "-before-relocate.db" in said and f"now name {moved.path}/mlruns" in said
    assert "Nothing to mend" in moved.run("python", "-m", "wbc", "relocate")
    assert "loaded" in load(moved, "models:/wbc-classifier@challenger")
    assert "is there already" in moved.run("python", "-m", "wbc", "sync")
    after = {path: path.stat().st_mtime_ns for path in finished.path.glob("mlruns/**/*")}
    assert after == artifacts  # the original was left alone


def test_sync_knows_the_commit_and_moves_the_alias(repository: Repository) -> None:
    head = repository.run("git", "rev-parse", "HEAD").strip()
    said = repository.run("python", "-m", "wbc", "sync")
    assert "Version 1 is the first challenger" in said
    [version] = repository.versions()
    assert version.tags["git.commit"] == head and version.tags["evaluation_set_sha256"]
    [run] = repository.runs()
    assert run.data.tags["git.dirty"] == "false" and run.data.tags["recorded"] == "afterwards"
    assert "Version 1 is challenger already" in repository.run("python", "-m", "wbc", "sync")

    # To another database; the outputs are those of another parameter now.
    repository.environment = {
        **repository.environment,
        "MLFLOW_TRACKING_URI": f"sqlite:///{repository.path}/other/mlflow.db",
    }
    repository.set(train__epochs=3)
    assert "the commit is not known" in repository.run("python", "-m", "wbc", "sync")
    client = MlflowClient(*[repository.environment["MLFLOW_TRACKING_URI"]] * 2)
    [version] = client.search_model_versions("name='wbc-classifier'")
    assert "git.commit" not in version.tags and version.tags["data_sha256"]


def objects(repository: Repository) -> set[Path]:
    return set((repository.path / ".dvc" / "cache" / "files" / "md5").glob("??/*"))


def test_clean_keeps_all_that_a_version_with_an_alias_needs(
    finished: Repository, tmp_path: Path
) -> None:
    """Version 2 comes of settings that were never committed: only its run names its data."""
    repository = copy_of(finished, tmp_path / "clone")
    repository.run("python", "-m", "wbc", "relocate")
    repository.run("python", "-m", "wbc", "clean", "--yes")  # what other tests left there
    assert "Nothing to remove" in repository.run("python", "-m", "wbc", "clean", "--yes")
    committed = objects(repository)
    repository.set(preprocess__context=1.2, train__epochs=1, train__head_epochs=0)
    repository.run("dvc", "repro", f"evaluate@{NAME}")
    made = objects(repository)
    repository.mlflow().set_registered_model_alias("wbc-classifier", "champion", "2")
    repository.set(preprocess__context=1.8)
    repository.run("dvc", "repro", "preprocess")  # an attempt that nobody kept
    attempt = objects(repository) - made
    repository.run("git", "checkout", "-q", "params.yaml", "dvc.lock")
    repository.run("dvc", "checkout")

    assert attempt and made > committed
    before = objects(repository)
    said = repository.run("python", "-m", "wbc", "clean", "--dry-run")
    assert "DVC objects that nobody needs" in said
    assert "clean --yes" in repository.run("python", "-m", "wbc", "clean", status=1)
    assert objects(repository) == before
    assert "Removed: " in repository.run("python", "-m", "wbc", "clean", "--yes", "--keep-last=0")

    assert objects(repository) >= committed and not objects(repository) & attempt
    assert [int(version.version) for version in repository.versions()] == [1, 2]  # 1 is here
    assert "loaded" in load(repository, "models:/wbc-classifier@champion")
    assert "up to date" in repository.run("dvc", "status")
    champion = repository.versions()[1].run_id
    recorded = f"mlruns/artifacts/{champion}/artifacts/lineage/dvc.lock"
    shutil.copy(repository.path / recorded, repository.path / "dvc.lock")
    for name in ("data/raw", "data/split", "data/pixels", "models", "reports"):
        shutil.rmtree(repository.path / name)
    repository.run("dvc", "checkout", "--force")  # fails where one object is gone
    settings = (repository.path / "data" / "pixels" / "store.json").read_text(encoding="utf-8")
    assert '"context": 1.2' in settings

    shutil.copytree(repository.path / ".dvc" / "cache", tmp_path / "shared")
    repository.run("dvc", "config", "cache.dir", str(tmp_path / "shared"))
    said = repository.run("python", "-m", "wbc", "clean", "--yes")
    assert "lies outside of this repository" in said
