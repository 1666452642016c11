"""A repository with a trained model, its report and an MLflow database of its own, made quickly.

MLflow needs seconds to create a database, so it does so once a session and tests get copies.
"""

import atexit
import contextlib
import functools
import hashlib
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from wbc import model
from wbc.backbones import Network
from wbc.cells import CLASSES
from wbc.picture_statistics import picture_statistics
from wbc.reference import REFERENCE_FILE, Reference, make_reference, write
from wbc.tracking import store as tracking_store

ARCHITECTURE = "squeezenet1_1"  # the smallest file of all, 3 MB
HISTORY = """epoch,phase,learning_rate,train/loss,val/loss,val/accuracy,val/macro_f1
1,head,0.001,1.5,1.4,0.5,0.4
2,all,0.0005,1.25,,0.75,0.7
"""
REPORT = {
    "val": {"accuracy": 0.75, "macro_f1": 0.7, "recall": {"monocyte": 0.5, "basophil": None}},
    "test_a": {"accuracy": 0.8, "macro_f1": 0.6, "num_cells": 1},
}
PREDICTIONS = f"""path,set,label,predicted,sha256
a.png,val,monocyte,monocyte,{"0a" * 32}
b.png,val,basophil,monocyte,{"0b" * 32}
c.png,test_a,monocyte,monocyte,{"0c" * 32}
"""
DVC_LOCK = """schema: '2.0'
stages:
  download:
    cmd: python -m stages.download
    outs:
    - path: data/raw
      hash: md5
      md5: 11111111111111111111111111111111.dir
  preprocess:
    cmd: python -m stages.preprocess
    outs:
    - path: data/pixels
      hash: md5
      md5: 22222222222222222222222222222222.dir
"""


@functools.cache
def _template() -> Path:
    root = Path(tempfile.mkdtemp(prefix="mlflow-template-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    tracking_store.connect(root)
    return root / "mlruns" / "mlflow.db"


def new_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's root with an empty database, and this process standing in it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    database = root / "mlruns" / "mlflow.db"
    database.parent.mkdir(parents=True)
    shutil.copyfile(_template(), database)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        location = (root / "mlruns" / "artifacts").as_uri()
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE name = 'wbc'", (location,)
        )
        connection.commit()
    (root / "dvc.lock").write_text(DVC_LOCK)
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.chdir(root)
    return root


def card(**changes: Any) -> dict[str, Any]:
    """A model.json as train writes it."""
    return {
        "format": 1,
        "architecture": ARCHITECTURE,
        "classes": list(CLASSES),
        "input": {"size": 64, "crop": "cell", "context": 1.5},
        "start": "random",
        "start_note": "",
        "log_prior": [-1.0, -1.5, -2.0, -2.0, -2.5],
        "decision": "logit_adjustment",
        "best": {"epoch": 2, "val/macro_f1": 0.7},
        "parameters": {"seed": 1, "train.epochs": 2, "train.augment.flips": True},
        "inputs": {"pixels": "ab" * 32, "weights": ""},
        "drawn": False,
        "sources": [{"name": "barcelona", "kind": "folder", "role": "auto"}],
    } | changes


def write_model(root: Path, seed: int = 1, report: Any = None, **changes: Any) -> tuple[Path, Path]:
    """models/ and reports/ of an untrained network; another seed gives another model."""
    torch.manual_seed(seed)
    described = card(**changes)
    model_dir = root / "models" / described["architecture"]
    report_dir = root / "reports" / described["architecture"]
    model.save(model_dir, Network(ARCHITECTURE, dropout=0.0, frozen_batch_norm=True), described)
    (model_dir / "history.csv").write_text(HISTORY)
    (report_dir / "figures").mkdir(parents=True, exist_ok=True)
    (report_dir / "metrics.json").write_text(json.dumps(report or REPORT))
    (report_dir / "predictions.csv").write_text(PREDICTIONS)
    (report_dir / "figures" / "confusion.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    if (root / "dvc.lock").is_file():
        lock_model(root, described["architecture"])
    return model_dir, report_dir


def write_reference(model_dir: Path, num_val: int = 40) -> Reference:
    """Beside a model, of noise that it never saw; returns it."""
    classifier = model.load(model_dir)
    size = classifier.card["input"]["size"]
    noise = np.random.default_rng(4).integers(0, 255, (20 + num_val, size, size, 3), np.uint8)
    outputs = classifier.outputs(noise)
    pictures = picture_statistics(noise[20:])
    found = make_reference(
        outputs.features[:20],
        outputs.features[20:],
        outputs.logits[20:],
        {name: pictures[name].to_numpy() for name in pictures},
    )
    write(model_dir / REFERENCE_FILE, found, model.model_sha256(model_dir))
    return found


def lock_model(root: Path, architecture: str) -> None:
    """Let dvc.lock name the model that lies in models/, as after train."""
    paths = [f"models/{architecture}/{name}" for name in ("model.safetensors", "model.json")]
    outs = [
        {"path": path, "hash": "md5", "md5": hashlib.md5((root / path).read_bytes()).hexdigest()}
        for path in paths
    ]
    yaml = YAML()
    document = yaml.load(root / "dvc.lock")
    document["stages"][f"train@{architecture}"] = {"cmd": "python -m stages.train", "outs": outs}
    yaml.dump(document, root / "dvc.lock")


def write_two_models(root: Path) -> None:
    """One in models/, and another one of the same network in second/."""
    outputs = write_model(root, temperature=1.3)
    shutil.copytree(outputs[0], root / "second")
    write_model(root, seed=2, temperature=1.3)
