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

from tests import preforked
from tests.pipeline.conftest import Repository
from wbc import cli, model
from wbc.tracking import runs as tracking

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
        return {name: str(number) for name, number in found.items() if name != "challenger"}

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
    shutil.copytree(finished.path, path, symlinks=True, ignore=shutil.ignore_patterns("mlruns"))
    repository = Repository(path, finished.environment)
    with pytest.MonkeyPatch.context() as patch:
        stand_in(path, patch)
        tracking.sync(path)
    repository.set(architectures=[NETWORK, CLASSICAL])
    repository.run("dvc", "repro", f"evaluate@{CLASSICAL}")
    return repository


def stand_in(path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(path)
    patch.setenv("DVC_ROOT", str(path))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def laboratory(
    trained: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Laboratory]:
    stand_in(trained.path, monkeypatch)
    if forks := preforked.bin_dir():  # each look at a version starts a clean process
        monkeypatch.setattr(sys, "executable", str(forks / "python"))
    with caplog.at_level(logging.INFO):
        yield Laboratory(trained, caplog)


def register_a_tie(path: Path) -> None:
    """Another model that answers the same: the same weights under a card with another seed."""
    twin = path / "twin"
    shutil.copytree(path / "models" / CLASSICAL, twin)
    card = json.loads((twin / "model.json").read_text(encoding="utf-8"))
    model.write_card(twin / "model.json", card | {"parameters": {**card["parameters"], "seed": 2}})
    tracking.publish(CLASSICAL, twin, path / "reports" / CLASSICAL)


def two_at_once(repository: Repository, *numbers: str) -> tuple[str, dict[str, str]]:
    """Force both in two processes; the version that won, and what each of them printed."""
    command = [sys.executable, "-m", "wbc", "promote", "--force", "--reason", "a try", "--version"]
    both = {
        number: subprocess.Popen(
            [*command, number], cwd=repository.path, env=repository.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for number in numbers
    }  # fmt: skip
    said = {number: process.communicate(timeout=300)[0] for number, process in both.items()}
    (winner,) = (number for number, process in both.items() if process.returncode == 0)
    assert sorted(process.returncode for process in both.values()) == [0, 1]
    return winner, said


def test_from_the_first_champion_to_the_way_back(laboratory: Laboratory) -> None:
    """One test, because each step needs the one before."""
    wbc, repository = laboratory.wbc, laboratory.repository
    unknown = wbc("promote", "--alias", "nobody", status=1)
    assert "has no alias nobody; there are versions 1, 2" in unknown
    assert "There is no champion yet" in wbc("rollback", status=1)

    below = wbc("promote", "--version", "1", status=1)
    assert below.startswith(f"Version 1 ({NETWORK}-") and "not above promotion.floor 0.8" in below
    repository.set(promotion__floor=0.2)
    above = wbc("promote", "--version", "1")
    assert "is champion now, the first one. It was loaded and repeated 10 recorded" in above
    assert "this was look 2 at it for promotion" in above

    better = wbc("promote", "--version", "2", "--reason", "all cells right")
    assert f"Version 2 ({CLASSICAL}-" in better and "is champion now, instead of version" in better
    assert re.search(r"macro-F1 is 0\.\d+ higher .* interval \+0\.\d+ to \+0\.\d+, p < 0", better)
    assert re.search(r"alone is right on \d+ cells, the champion alone on \d+ \(McNemar's", better)
    assert re.search(r"\d cells: too few to prove", better) and "cells of 6 smears" in better
    assert laboratory.aliases() == {"champion": "2", "previous": "1"}
    worse = wbc("promote", "--version", "1", status=1)
    assert "its macro-F1 is not above the champion's (-0." in worse
    assert re.search(r"the recall of \w+ has fallen: of \d cells", worse)

    register_a_tie(repository.path)
    tie = wbc("promote", "--version", "3", status=1)
    assert "it ties with the champion: macro-F1 is the same" in tie
    assert "needs a reason" in wbc("promote", "--version", "3", "--force", status=1)

    winner, said = two_at_once(repository, "1", "3")
    loser = "1" if winner == "3" else "3"
    assert "is champion now, instead of version 2" in said[winner]
    assert "by force (a try), although it" in said[winner]
    assert re.search(
        rf"error: Version {winner} \(.*\) became champion while this command was looking at"
        r" version 2, set by Test at .*; nothing was changed, run it again",
        said[loser],
    )
    assert laboratory.aliases() == {"champion": winner, "previous": "2"}
    tags = repository.mlflow().get_model_version("wbc-classifier", winner).tags
    assert tags["promotion.who"] == "Test" and tags["promotion.why"] == "a try"

    named = rf"The champion, version {winner} \(.*\), is damaged: its files are no longer"
    damage(laboratory.weights(winner))
    assert re.search(named, wbc("promote", "--version", loser, status=1))
    assert re.search(named, wbc("list").splitlines()[-1])
    adapt = ("adapt", "abroad", "--model", "models:/wbc-classifier@champion")
    assert re.search(named, wbc(*adapt, status=1))
    assert f"is champion again, instead of version {winner}" in wbc("rollback")
    assert laboratory.aliases() == {"champion": "2", "previous": "1"}
    unreadable = wbc("promote", "--version", winner, "--force", "--reason", "x", status=1)
    assert "they were damaged or changed" in unreadable

    events = [line.split()[3:6] for line in wbc("history", "--full").splitlines()[1:]]
    assert events == [
        ["refuse", "1", "-"], ["promote", "1", "-"], ["promote", "2", "1"], ["refuse", "1", "2"],
        ["refuse", "3", "2"], ["force", winner, "2"], ["rollback", "2", winner],
        ["refuse", winner, "2"],
    ]  # fmt: skip
    repository.mlflow().delete_model_version("wbc-classifier", "2")
    assert "The champion, version 2 (classical-" in wbc("promote", "--version", loser, status=1)


def damage(path: Path) -> None:
    """Flip one bit."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
