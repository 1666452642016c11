"""`verify` and `checkout` on a real run: every verdict seen through the command."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from tests.pipeline.conftest import Repository, commit
from wbc import cli
from wbc.lineage import state as lineage
from wbc.model import model_sha256

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
TRAIN = f"train@{NAME}"
PLACES = {  # where MLflow keeps absolute paths
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
Command = Callable[..., str]


@pytest.fixture
def registered(finished: Repository, tmp_path: Path) -> Repository:
    """The finished repository and its registry with version 1, to be changed."""
    path = tmp_path / "clone"
    shutil.copytree(finished.path, path, symlinks=True)
    with closing(sqlite3.connect(path / "mlruns" / "mlflow.db")) as database:
        for table, column in PLACES.items():
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(change, (str(finished.path), str(path)))
        database.commit()
    return Repository(path, finished.environment)


@pytest.fixture
def refused(registered: Repository, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`python -m wbc` in this process, which has imported MLflow already; what it ends with."""
    monkeypatch.chdir(registered.path)

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        return str(ended.value.code)

    return run


def stored(repository: Repository) -> Path:
    """Version 1's own files in the registry."""
    [card] = (repository.path / "mlruns" / "artifacts").rglob("artifacts/model.json")
    return card.parent


def left_behind(repository: Repository) -> None:
    """As if version 1 had been trained with uncommitted changes, which nobody committed since.

    Its commit gets another parameter and no note.txt; the run gets the patch between both.
    """
    here = repository.path
    before = (here / "params.yaml").read_bytes(), (here / "dvc.lock").read_bytes()
    repository.set(train__label_smoothing=0.1)
    commit(repository, "the run's commit")
    (here / "params.yaml").write_bytes(before[0])
    (here / "note.txt").write_text("new")
    origin = lineage.read(here)
    [version] = repository.versions()
    client = repository.mlflow()
    for name, value in (("git.commit", origin.commit), ("git.dirty", "true")):
        client.set_tag(version.run_id, name, value)
    # Not by the client: it remembers where a run of this id lay in another test's copy.
    folder = Path(url2pathname(urlsplit(client.get_run(version.run_id).info.artifact_uri).path))
    (folder / "lineage").mkdir(exist_ok=True)
    (folder / "lineage" / "uncommitted.patch").write_bytes(origin.patch)
    (here / "note.txt").unlink()
    repository.run("git", "checkout", "-q", "params.yaml")
    repository.set(train__epochs=9)
    (here / "dvc.lock").write_text("schema: '2.0'\n")
    commit(repository, "later work")


def state(repository: Repository) -> dict[str, Any]:
    """What verify must leave alone: workspace, git, DVC's cache.

    Objects by content: git dates one anew that it would write and finds there.
    """
    apart = {"mlruns", "tmp", "__pycache__"}
    return {
        str(path): path.read_bytes() if "objects" in path.parts else path.stat().st_mtime_ns
        for path in repository.path.rglob("*")
        if path.is_file() and not apart & set(path.relative_to(repository.path).parts)
    }


def test_a_checkout_is_the_state_that_made_it(registered: Repository, refused: Command) -> None:
    left_behind(registered)
    trained = model_sha256(registered.path / "models" / NAME)
    nothing_is_lost(registered, refused)

    said = registered.run("python", "-m", "wbc", "checkout", "1")

    assert "its uncommitted changes and the dvc.lock of its run" in said
    assert "git switch main" in said and "Not in DVC's cache" not in said
    assert (registered.path / "note.txt").read_text() == "new"
    assert model_sha256(registered.path / "models" / NAME) == trained
    assert registered.run("git", "status", "--porcelain") == ""
    assert "up to date" in registered.run("dvc", "status", TRAIN, "preprocess", "split")
    assert registered.ran(registered.run("dvc", "repro", TRAIN)) == []
    registered.run("git", "switch", "-q", "main")
    assert not (registered.path / "note.txt").exists()


def test_a_version_is_made_again_to_the_byte(registered: Repository) -> None:
    """Neither the workspace's code and parameters nor the cached outputs have a say in it."""
    left_behind(registered)
    (registered.path / "stages" / "split.py").write_text("raise RuntimeError('the workspace')\n")
    registered.environment = {**registered.environment, "PYTHONPATH": str(registered.path)}
    before, num_runs = state(registered), len(registered.runs())
    said = registered.run("python", "-m", "wbc", "verify", "models:/wbc-classifier@challenger")

    assert "identical: every byte of model.safetensors and model.json" in said, said
    assert "data/split as recorded" in said and "data/pixels as recorded" in said
    assert state(registered) == before and len(registered.runs()) == num_runs
    assert not list((registered.path / "scratch").iterdir())
    [version] = registered.versions()
    assert json.loads(version.tags["verified"])["verdict"] == "identical"


def nothing_is_lost(registered: Repository, refused: Command) -> None:
    """Uncommitted work, a file in the way, data that no cache has."""
    here = registered.path
    registered.run("dvc", "checkout", status=None)  # as the lock of main says: there is nothing
    at = registered.run("git", "rev-parse", "HEAD")
    registered.set(seed=5)
    said = refused("checkout", "1")
    assert said.startswith("error: Uncommitted changes would be lost (params.yaml)")
    registered.run("git", "checkout", "-q", "params.yaml")
    (here / "note.txt").write_text("mine")
    assert "are in the way (note.txt)" in refused("checkout", "1")
    assert (here / "note.txt").read_text() == "mine"
    (here / "note.txt").unlink()
    (here / "data" / "raw").mkdir(exist_ok=True)
    (here / "data" / "raw" / "mine.png").write_bytes(b"mine")
    said = refused("checkout", "1")
    assert "data/raw/mine.png" in said and "dvc commit" in said
    assert (here / "data" / "raw" / "mine.png").read_bytes() == b"mine"
    (here / "data" / "raw" / "mine.png").unlink()
    assert registered.run("git", "rev-parse", "HEAD") == at
    assert registered.run("git", "branch", "--show-current") == "main\n"
    assert registered.run("git", "status", "--porcelain") == ""


def test_one_training_pixel_makes_it_differ(registered: Repository, refused: Command) -> None:
    """A model that truly was trained on other pixels than its version records."""
    train_on_another_pixel(registered)

    said = registered.run("python", "-m", "wbc", "verify", "1", status=1)

    assert "data/pixels as recorded" in said
    assert "differs: tensor " in said and "largest difference" in said, said
    [version] = registered.versions()
    assert json.loads(version.tags["verified"])["verdict"] == "differs"


def train_on_another_pixel(registered: Repository) -> None:
    """Change one value of one training cell in the workspace, train on it, replace version 1."""
    pixels = registered.path / "data" / "pixels"
    index = pd.read_csv(pixels / "index.csv", keep_default_na=False)
    cell = index[index["split"] == "train"].iloc[0]
    path = pixels / f"shard-{cell['shard']:05d}.npy"
    content = np.load(path)
    content[cell["row"], 20, 20, 0] ^= 128
    path.unlink()  # it may be read-only
    np.save(path, content)
    away = {**registered.environment, "MLFLOW_TRACKING_URI": f"sqlite:///{registered.path}/x/y.db"}
    Repository(registered.path, away).run("python", "-m", "stages.train", NAME)
    model_dir = registered.path / "models" / NAME
    for name in ("model.safetensors", "model.json"):
        shutil.copyfile(model_dir / name, stored(registered) / name)
    [version] = registered.versions()
    registered.mlflow().set_model_version_tag(
        "wbc-classifier", version.version, "model_sha256", model_sha256(model_dir)
    )


def test_what_is_seen_before_anything_is_trained(
    registered: Repository, refused: Command, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    [version] = registered.versions()
    client = registered.mlflow()
    weights = stored(registered) / "model.safetensors"
    kept, tensors = weights.read_bytes(), load_file(weights)
    sorted(tensors.items())[0][1].flat[0] += 1
    save_file(tensors, weights)
    assert refused("verify", "1") == "1"
    assert "differs: the registry holds other weights" in caplog.text
    weights.write_bytes(kept)

    client.set_tag(version.run_id, "processor", "Imagined CPU")
    assert refused("verify", "1") == "3"
    assert "not comparable: processor: Imagined CPU recorded" in caplog.text
    assert "--anyway rebuilds all the same" in caplog.text
    assert refused("verify", "7").startswith("error: wbc-classifier has no version 7")

    damage(registered.path / ".dvc" / "cache")
    assert refused("verify", "1", "--anyway") == "1"
    assert "differs: data/raw: data hash differs: " in caplog.text and "is damaged" in caplog.text
    shutil.rmtree(registered.path / ".dvc" / "cache")
    said = refused("verify", "1", "--anyway")
    assert said.startswith("error: data/raw of version 1 cannot be had") and "dvc pull" in said
    client.set_tag(version.run_id, "git.commit", "0123456789" * 4)
    assert "git fetch" in refused("verify", "1")


def damage(cache: Path) -> None:
    """Change a byte of one image."""
    images = (path for path in sorted(cache.rglob("*")) if path.is_file())
    image = next(path for path in images if path.read_bytes()[:2] == b"\xff\xd8")
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.chmod(0o644)
    image.write_bytes(bytes(content))
