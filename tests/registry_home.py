"""Versions with made-up answers, registered in milliseconds: for the rules of the registry.

They hold no model; tests of loading use real ones.
"""

import functools
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.memory_registry import memory_store
from tests.mlflow_home import new_home
from wbc import ece_interval, paired
from wbc.cells import CLASSES, write_table
from wbc.lineage import state as lineage
from wbc.params import Promotion
from wbc.registry import loading, promotion, trail
from wbc.registry.promotion import Outcome, Request
from wbc.tracking import store as tracking_store
from wbc.tracking.store import MODEL, Store

WHERE = ("in_memory", "in_mlflow")  # rules are tried in both
RULES = Promotion(set="auto", recall_margin=0.05, floor=0.8)


class Registry:
    """An empty registry that versions can be put into."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @functools.cached_property
    def store(self) -> Store:
        return tracking_store.connect(self.home)

    def add(self, predictions: pd.DataFrame | None, **tags: str) -> str:
        """A version whose run has these predictions; returns its number."""
        store = self.store
        run = store.client.create_run(store.experiment_id, run_name="made-up")
        if predictions is not None:
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / "predictions.csv"
                write_table(predictions, path)
                store.client.log_artifact(run.info.run_id, str(path), "report")
        known = {"model_sha256": run.info.run_id, "architecture": "resnet18", "drawn": "false",
                 "start": "random", "run_name": f"resnet18-{run.info.run_id[:8]}"}  # fmt: skip
        version = store.client.create_model_version(
            MODEL, f"{run.info.artifact_uri}/model", run.info.run_id, tags=known | tags
        )
        return str(version.version)

    def aliases(self) -> dict[str, str]:
        found = self.store.client.get_registered_model(MODEL).aliases
        return {name: str(number) for name, number in found.items()}

    def tags(self) -> dict[str, str]:
        return dict(self.store.client.get_registered_model(MODEL).tags)

    def version(self, number: str) -> Any:
        return self.store.client.get_model_version(MODEL, number)


def answers(
    wrong: int, size: int = 60, cells: str = "a", name: str = "test_a", from_end: bool = False
) -> pd.DataFrame:
    """predictions.csv of `size` cells a class on 15 smears, of which `wrong` are named otherwise:
    the first of each class, or the last."""
    rows = []
    for k, label in enumerate(CLASSES):
        for i in range(size):
            is_wrong = i >= size - wrong if from_end else i < wrong
            decided = CLASSES[(k + 1) % 5] if is_wrong else label
            shares = {f"p_{one}": 0.6 if one == decided else 0.1 for one in CLASSES}
            path, key = f"lab/{label}-{i}.png", f"{cells}{k:03}{i:04}"
            rows.append([path, name, f"s{i % 15}", label, decided, *shares.values(), key])
    columns = ["path", "set", "group", "label", "predicted", *(f"p_{one}" for one in CLASSES)]
    return pd.DataFrame(rows, columns=[*columns, "sha256"])


def scattered(share_wrong: float, seed: int, size: int = 60) -> pd.DataFrame:
    """Like `answers`, with mistakes drawn at random."""
    table = answers(0, size)
    draw = np.random.default_rng(seed).random(len(table)) < share_wrong
    other = [CLASSES[(CLASSES.index(label) + 1) % 5] for label in table["label"]]
    return table.assign(predicted=np.where(draw, other, table["label"]))


def loads_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every version could be loaded, which takes seconds."""
    monkeypatch.setattr(loading, "check", lambda *_: "it was loaded")
    monkeypatch.setattr(loading, "check_files", lambda *_: None)
    monkeypatch.setattr(loading, "some_cells", lambda *_: [])


GOOD, BAD = answers(2), answers(15)


def new_registry(home: Path, monkeypatch: pytest.MonkeyPatch, where: str = "in_mlflow") -> Registry:
    """Of a person called Ada, in which every version can be loaded; `where` of WHERE."""
    if where == "in_memory":
        (home / "mlruns").mkdir(parents=True)
        monkeypatch.setenv("DVC_ROOT", str(home))
        monkeypatch.chdir(home)
        store = memory_store(home)
        monkeypatch.setattr(tracking_store, "connect", lambda *_: store)
        monkeypatch.setattr(lineage, "user_name", {home: "Ada"}.__getitem__)
        monkeypatch.setattr(paired, "NUM_DRAWS", 200)
        monkeypatch.setattr(ece_interval, "NUM_SIMULATED", 20)
    else:
        new_home(home, monkeypatch)
        subprocess.run(["git", "init", "-q"], cwd=home, check=True)
        subprocess.run(["git", "config", "user.name", "Ada"], cwd=home, check=True)
    loads_everything(monkeypatch)
    return Registry(home)


def promote(
    registry: Registry, number: str, reason: str = "", force: bool = False, **rules: Any
) -> Outcome:
    request = Request(int(number), "challenger", reason, force)
    return promotion.promote(registry.home, replace(RULES, **rules), request)


def two_champions(registry: Registry) -> tuple[str, str]:
    """Version 1 with a low floor, then the better version 2."""
    bad, good = registry.add(BAD), registry.add(GOOD)
    assert promote(registry, bad, floor=0.5).done
    assert promote(registry, good, "better on monocytes").done
    return bad, good


def events(registry: Registry) -> list[str]:
    return [f"{e.event} {e.version}" for e in trail.read(registry.store)]


def state(registry: Registry, number: str) -> Any:
    tags = {name: text for name, text in registry.tags().items() if "looks" not in name}
    return registry.aliases(), tags, registry.version(number).tags
