"""Promotion through its commands, on real small runs: every gate with both verdicts.

A network that has hardly learned anything, the classical baseline, which is far better on drawn
cells, and a third version that answers as the second. All are drawn, and the first champion's
floor is lowered to what these few cells can show.
"""

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import Repository
from wbc import cli, model, tracking

pytestmark = pytest.mark.pipeline
NETWORK, CLASSICAL = "squeezenet1_1", "classical"


@dataclass
class Laboratory:
    """A repository with versions 1 (network), 2 (classical) and 3 (a tie with 2)."""

    repository: Repository
    caplog: pytest.LogCaptureFixture

    def wbc(self, *words: str, status: int = 0) -> str:
        """What `python -m wbc WORDS` prints, which must end with this status."""
        self.caplog.clear()
        try:
            cli.main(list(words))
            ended: Any = 0
        except SystemExit as end:
            ended = end.code
        said = "\n".join(record.message for record in self.caplog.records)
        if isinstance(ended, str):  # sys.exit prints it and ends with status 1
            said, ended = f"{said}{ended}", 1
        assert ended == status, said
        return said

    def aliases(self) -> dict[str, str]:
        found = self.repository.mlflow().get_registered_model("wbc-classifier").aliases
        return {name: str(number) for name, number in found.items()}

    def weights(self, number: str) -> Path:
        version = self.repository.mlflow().get_model_version("wbc-classifier", number)
        (path,) = (
            path
            for path in (self.repository.path / "mlruns").rglob("model.safetensors")
            if model.model_sha256(path.parent) == version.tags["model_sha256"]
        )
        return path


@pytest.fixture(scope="module")
def trained(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    path = tmp_path_factory.mktemp("promotion") / "clone"
    shutil.copytree(finished.path, path, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db"))
    shutil.rmtree(path / "mlruns" / "artifacts", ignore_errors=True)
    repository = Repository(path, finished.environment)
    repository.run("python", "-m", "wbc", "sync")
    repository.set(architectures=[NETWORK, CLASSICAL], promotion__floor=0.2)
    repository.run("dvc", "repro", f"evaluate@{CLASSICAL}")
    return repository


@pytest.fixture
def laboratory(
    trained: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Laboratory]:
    monkeypatch.chdir(trained.path)
    monkeypatch.setenv("DVC_ROOT", str(trained.path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with caplog.at_level(logging.INFO):
        yield Laboratory(trained, caplog)


def register_a_tie(path: Path) -> None:
    """Another model that answers the same: the same weights under a card with another seed."""
    twin = path / "twin"
    shutil.copytree(path / "models" / CLASSICAL, twin)
    card = json.loads((twin / "model.json").read_text(encoding="utf-8"))
    model.write_card(twin / "model.json", card | {"parameters": {**card["parameters"], "seed": 2}})
    tracking.publish(CLASSICAL, twin, path / "reports" / CLASSICAL)


def test_from_the_first_champion_to_the_way_back(laboratory: Laboratory) -> None:
    """One test, because each step needs the one before."""
    wbc, path = laboratory.wbc, laboratory.repository.path
    assert "has no alias nobody; there are versions 1, 2" in wbc(
        "promote", "--alias", "nobody", status=1
    )
    assert "There is no champion yet" in wbc("rollback", status=1)

    laboratory.repository.set(promotion__floor=0.9)
    refused = wbc("promote", "--version", "1", status=1)
    assert (
        refused.startswith(f"Version 1 ({NETWORK}-") and "is not above promotion.floor" in refused
    )
    laboratory.repository.set(promotion__floor=0.2)
    accepted = wbc("promote", "--version", "1")
    assert "is champion now, the first one. It was loaded and repeated 10 recorded" in accepted
    assert "this was look 2 at it for promotion" in accepted

    better = wbc("promote", "--version", "2", "--reason", "all cells right")
    assert (
        f"Version 2 ({CLASSICAL}-" in better and "is champion now, instead of version 1" in better
    )
    assert re.search(r"macro-F1 is 0\.\d+ higher .* interval \+0\.\d+ to \+0\.\d+, p < 0", better)
    assert re.search(r"alone is right on \d+ cells, the champion alone on \d+ \(McNemar's", better)
    assert "5 cells: too few to prove" in better and "cells of 6 smears, SHA-256" in better
    assert laboratory.aliases() == {"champion": "2", "previous": "1"}
    worse = wbc("promote", "--version", "1", status=1)
    assert "its macro-F1 is not above the champion's (-0." in worse
    assert re.search(r"the recall of \w+ has fallen: of \d cells", worse)

    register_a_tie(path)
    tie = wbc("promote", "--version", "3", status=1)
    assert "it ties with the champion: macro-F1 is the same" in tie
    assert "needs a reason" in wbc("promote", "--version", "3", "--force", status=1)
    forced = wbc("promote", "--version", "3", "--force", "--reason", "newer seed")
    assert "instead of version 2" in forced and "by force (newer seed), although it ties" in forced
    assert laboratory.aliases() == {"champion": "3", "previous": "2"}
    tags = laboratory.repository.mlflow().get_model_version("wbc-classifier", "3").tags
    assert tags["promotion.who"] == "Test" and tags["promotion.why"] == "newer seed"

    back = wbc("rollback", "--reason", "was a try")
    assert "is champion again, instead of version 3" in back
    assert laboratory.aliases() == {"champion": "2", "previous": "1"}
    events = [line.split()[3:6] for line in wbc("history").splitlines()[1:]]
    assert events == [
        ["refuse", "1", "-"], ["promote", "1", "-"], ["promote", "2", "1"], ["refuse", "1", "2"],
        ["refuse", "3", "2"], ["force", "3", "2"], ["rollback", "2", "3"],
    ]  # fmt: skip


def test_two_at_once_and_damage(laboratory: Laboratory) -> None:
    """Two real processes: one wins, the other is told, and the trail has one line more."""
    wbc, repository = laboratory.wbc, laboratory.repository
    before = len(wbc("history").splitlines())
    command = [sys.executable, "-m", "wbc", "promote", "--force", "--reason", "x", "--version"]
    both = [
        subprocess.Popen(
            [*command, number],
            cwd=repository.path, env=repository.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for number in ("1", "3")
    ]  # fmt: skip
    said = dict(zip("13", (each.communicate(timeout=300)[0] for each in both), strict=True))
    assert sorted(process.returncode for process in both) == [0, 1], said
    winner, loser = ("1", "3") if both[0].returncode == 0 else ("3", "1")
    assert f"Version {winner} (" in said[winner] and "is champion now" in said[winner]
    assert re.search(
        rf"error: Version {winner} \(.*\) became champion while this command was looking at"
        r" version 2, set by Test at .*; nothing was changed, run it again",
        said[loser],
    )
    assert laboratory.aliases() == {"champion": winner, "previous": "2"}
    assert len(wbc("history").splitlines()) == before + 1

    weights = laboratory.weights(winner)
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    named = rf"The champion, version {winner} \(.*\), is damaged: its files are no longer"
    assert re.search(named, wbc("promote", "--version", loser, status=1))
    assert re.search(named, wbc("list").splitlines()[-1])
    adapt = ("adapt", "abroad", "--model", "models:/wbc-classifier@champion")
    assert re.search(named, wbc(*adapt, status=1))
    assert "is champion again" in wbc("rollback")
    unreadable = wbc("promote", "--version", winner, "--force", "--reason", "x", status=1)
    assert "they were damaged or changed" in unreadable
    laboratory.repository.mlflow().delete_model_version("wbc-classifier", "2")
    assert "The champion, version 2 (classical-" in wbc("promote", "--version", "1", status=1)
    assert laboratory.aliases() == {"previous": "1"}
