"""`verify` and `checkout` on a real run: every verdict seen through the command."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.pipeline.conftest import Repository, commit
from wbc.model import model_sha256

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
TRAIN = f"train@{NAME}"


@pytest.fixture
def registered(finished: Repository, tmp_path: Path) -> Repository:
    """The finished repository with version 1 in a registry of its own, dvc.lock committed."""
    path = tmp_path / "clone"
    shutil.copytree(finished.path, path, symlinks=True)
    for old in ("mlruns/artifacts", "mlruns/mlflow.db"):
        assert (path / old).exists()
    move_registry(path, finished.path)
    return Repository(path, finished.environment)


def move_registry(path: Path, before: Path) -> None:
    """Let a copied database name the copied artifacts."""
    import contextlib
    import sqlite3

    columns = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
        "model_versions": "storage_location",
    }
    with contextlib.closing(sqlite3.connect(path / "mlruns" / "mlflow.db")) as database:
        for table, column in columns.items():
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(before), str(path))
            )
        database.commit()


def stored(repository: Repository) -> Path:
    """Version 1's own files in the registry."""
    [card] = (repository.path / "mlruns" / "artifacts").rglob("artifacts/model.json")
    return card.parent


def tag(repository: Repository, name: str, value: str) -> None:
    """A version's tag and its run's."""
    [version] = repository.versions()
    client = repository.mlflow()
    client.set_model_version_tag("wbc-classifier", version.version, name, value)
    client.set_tag(version.run_id, name, value)


def state(repository: Repository) -> dict[str, Any]:
    """What verify must leave alone: files, git, DVC's cache."""
    here = repository.path
    files = [path for path in here.rglob("*") if path.is_file() and "mlruns" not in path.parts]
    return {
        str(path.relative_to(here)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in files
        if ".dvc/tmp" not in str(path) and "__pycache__" not in path.parts
    }


def test_a_version_is_made_again_to_the_byte(registered: Repository) -> None:
    """Neither the workspace's code and parameters nor the cached outputs have a say in it."""
    (registered.path / "stages" / "split.py").write_text("raise RuntimeError('the workspace')\n")
    registered.set(train__epochs=9)
    (registered.path / "models" / NAME / "model.json").unlink()
    registered.environment = {**registered.environment, "PYTHONPATH": str(registered.path)}
    before, runs = state(registered), len(registered.runs())

    said = registered.run("python", "-m", "wbc", "verify", "models:/wbc-classifier@challenger")

    assert "identical: every byte of model.safetensors and model.json" in said, said
    assert "preprocess: " in said and "data/pixels as recorded" in said
    assert state(registered) == before
    assert not list((registered.path / "scratch").iterdir())
    assert len(registered.runs()) == runs
    [version] = registered.versions()
    note = json.loads(version.tags["verified"])
    assert note["verdict"] == "identical" and note["commit"] == version.tags["git.commit"]


def test_one_pixel_of_a_training_image(registered: Repository) -> None:
    """A model that was trained on other pixels than its version says, and a damaged cache."""
    pixels = registered.path / "data" / "pixels"
    shard = sorted(pixels.glob("*.npy"))[0]
    content = np.load(shard)
    content[first_training_cell(pixels), 20, 20, 0] ^= 128
    shard.chmod(0o644)
    np.save(shard, content)
    environment = {**registered.environment, "MLFLOW_TRACKING_URI": "sqlite:///elsewhere/x.db"}
    elsewhere = Repository(registered.path, environment)
    elsewhere.run("python", "-m", "stages.train", NAME)
    replace_stored(registered, registered.path / "models" / NAME)

    said = registered.run("python", "-m", "wbc", "verify", "1", status=1)

    assert "data/pixels as recorded" in said
    assert "differs: tensor " in said and "largest difference" in said, said
    [version] = registered.versions()
    assert json.loads(version.tags["verified"])["verdict"] == "differs"

    damage_raw(registered)
    said = registered.run("python", "-m", "wbc", "verify", "1", status=1)
    assert "differs: data/raw: data hash differs" in said and "is damaged" in said, said


def first_training_cell(pixels: Path) -> int:
    import pandas as pd

    index = pd.read_csv(pixels / "index.csv", keep_default_na=False)
    return int(np.flatnonzero(index["split"] == "train")[0])


def replace_stored(repository: Repository, model_dir: Path) -> None:
    """Another model under the name of version 1, as if it had been registered so."""
    target = stored(repository)
    for name in ("model.safetensors", "model.json"):
        shutil.copyfile(model_dir / name, target / name)
    tag(repository, "model_sha256", model_sha256(model_dir))


def damage_raw(repository: Repository) -> None:
    """Change a byte of one image in DVC's cache."""
    image = next((repository.path / ".dvc/cache/files/md5").rglob("*"))
    for image in (repository.path / ".dvc/cache/files/md5").rglob("*"):
        if image.is_file() and image.read_bytes()[:3] == b"\xff\xd8\xff":
            break
    image.chmod(0o644)
    content = bytearray(image.read_bytes())
    content[-10] ^= 1
    image.write_bytes(bytes(content))


def test_what_is_seen_before_anything_is_trained(registered: Repository) -> None:
    folder = stored(registered)
    tensors = load_file(folder / "model.safetensors")
    name = sorted(tensors)[0]
    tensors[name].flat[0] += 1
    save_file(tensors, folder / "model.safetensors")
    said = registered.run("python", "-m", "wbc", "verify", "1", status=1)
    assert "differs: the registry holds other weights" in said

    registered.run("git", "checkout", "-q", "--orphan", "empty")
    shutil.copyfile(registered.path / "models" / NAME / "model.safetensors",
                    folder / "model.safetensors")  # fmt: skip
    [version] = registered.versions()
    client = registered.mlflow()
    client.set_tag(version.run_id, "processor", "Imagined CPU")
    said = registered.run("python", "-m", "wbc", "verify", "1", status=3)
    assert "not comparable: processor: Imagined CPU recorded" in said and "--anyway" in said

    client.set_tag(version.run_id, "git.commit", "0123456789" * 4)
    said = registered.run("python", "-m", "wbc", "verify", "1", status=1)
    assert said.startswith("error: Commit 0123456789") and "git fetch" in said
    said = registered.run("python", "-m", "wbc", "verify", "7", status=1)
    assert said.startswith("error: 7 names no version of wbc-classifier: expected one of 1")


def test_a_dirty_tree_is_checked_out_and_made_again(registered: Repository) -> None:
    """Trained with uncommitted parameters, then left behind by commits and another training."""
    registered.set(train__label_smoothing=0.1)
    (registered.path / "note.txt").write_text("new")
    registered.run("dvc", "repro", f"evaluate@{NAME}")
    registered.run("git", "checkout", "-q", "params.yaml", "dvc.lock")
    (registered.path / "note.txt").unlink()
    registered.run("dvc", "checkout")
    second = registered.versions()[1]
    untouched = model_sha256(registered.path / "models" / NAME)

    refused(registered)
    said = registered.run("python", "-m", "wbc", "checkout", "2")

    assert "version 2" in said and "its uncommitted changes" in said and "git switch main" in said
    assert model_sha256(registered.path / "models" / NAME) == second.tags["model_sha256"]
    assert (registered.path / "note.txt").read_text() == "new"
    assert registered.run("git", "status", "--porcelain") == ""
    assert registered.ran(registered.run("dvc", "repro", TRAIN)) == []
    assert "up to date" in registered.run("dvc", "status", TRAIN, "preprocess", "split")
    registered.run("git", "switch", "-q", "main")
    registered.run("dvc", "checkout")
    assert model_sha256(registered.path / "models" / NAME) == untouched

    said = registered.run("python", "-m", "wbc", "verify", "2")
    assert "identical: " in said, said


def refused(registered: Repository) -> None:
    """Uncommitted work, a file in the way and data that no cache has; nothing is changed by it."""
    at = registered.run("git", "rev-parse", "HEAD")
    registered.set(seed=5)
    said = registered.run("python", "-m", "wbc", "checkout", "2", status=1)
    assert said.startswith("error: Uncommitted changes would be lost (params.yaml)")
    registered.run("git", "checkout", "-q", "params.yaml")
    (registered.path / "note.txt").write_text("mine")
    said = registered.run("python", "-m", "wbc", "checkout", "2", status=1)
    assert "are in the way (note.txt)" in said
    (registered.path / "note.txt").unlink()
    (registered.path / "data" / "raw" / "mine.png").write_bytes(b"mine")
    said = registered.run("python", "-m", "wbc", "checkout", "2", status=1)
    assert "data/raw/mine.png" in said and "dvc commit" in said
    (registered.path / "data" / "raw" / "mine.png").unlink()
    assert registered.run("git", "rev-parse", "HEAD") == at
    assert registered.run("git", "branch", "--show-current") == "main\n"
    assert registered.run("git", "status", "--porcelain") == ""


def test_data_that_are_gone_are_named(registered: Repository) -> None:
    shutil.rmtree(registered.path / ".dvc" / "cache")
    said = registered.run("python", "-m", "wbc", "verify", "1", status=1)
    assert said.splitlines()[-1].startswith("error: data/raw of version 1 cannot be had")
    commit(registered, "clean")
    shutil.rmtree(registered.path / "data" / "pixels")
    said = registered.run("python", "-m", "wbc", "checkout", "1")
    assert "Not in DVC's cache: " in said and "dvc pull" in said
