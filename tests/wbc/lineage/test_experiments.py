"""wbc.lineage.experiments without DVC; tests/pipeline/test_sweep.py has its real queue."""

from pathlib import Path

import pytest

from wbc.lineage import experiments
from wbc.lineage.experiments import Queue


def test_stop_returns_when_the_killed_experiments_have_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    states = iter([{"a": "Running", "b": "Queued"}, *[{"a": "Running"}] * 3, {"a": "Failed"}])
    monkeypatch.setattr(experiments, "queue", lambda _: Queue(next(states), 1))
    monkeypatch.setattr(
        experiments, "_dvc", lambda _, *words, check=True: asked.append(" ".join(words))
    )
    monkeypatch.setattr(experiments.time, "sleep", lambda _: asked.append("waited"))

    experiments.stop(tmp_path, ["a", "b"])

    assert asked == ["queue remove b", "queue kill a", "waited", "waited"]
