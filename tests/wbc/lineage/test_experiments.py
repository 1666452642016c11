"""wbc.lineage.experiments without DVC; tests/pipeline/test_sweep.py has its real queue."""

from pathlib import Path

import pytest

from wbc.lineage import experiments
from wbc.lineage.experiments import Queue


class FakeDvc:
    """`dvc queue`: a removal of several names is done for all or, where one is unknown, for none.

    An experiment that is killed runs on for three looks at the queue.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **states: str) -> None:
        self.states = states
        self.asked: list[str] = []
        self._ending = 0
        monkeypatch.setattr(experiments, "queue", lambda _: self._look())
        monkeypatch.setattr(experiments, "_dvc", lambda _, *words, check=True: self._do(*words))
        monkeypatch.setattr(experiments.time, "sleep", lambda _: self.asked.append("waited"))

    def _look(self) -> Queue:
        if self._ending == 1:
            self.states = dict.fromkeys(self.states, "Failed")
        self._ending = max(0, self._ending - 1)
        return Queue(dict(self.states), 1)

    def _do(self, _queue: str, verb: str, *names: str) -> None:
        self.asked.append(f"{verb} {' '.join(names)}")
        if verb == "kill":
            self._ending = 3
        elif all(self.states.get(name, "Running") != "Running" for name in names):
            self.states = {name: self.states[name] for name in self.states if name not in names}


def test_stop_returns_when_the_killed_experiments_have_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dvc = FakeDvc(monkeypatch, a="Running", b="Queued")
    experiments.stop(tmp_path, ["a", "b"])
    assert dvc.asked == ["remove b", "kill a", "waited", "waited"]


def test_what_is_not_in_the_queue_keeps_nothing_else_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An earlier sweep was killed while it queued: some of the names are there and some are not."""
    dvc = FakeDvc(monkeypatch, a="Queued", b="Failed", c="Running", other="Queued")
    experiments.forget(tmp_path, ["a", "b", "c", "d"])
    assert dvc.states == {"c": "Running", "other": "Queued"}


def test_what_a_worker_has_just_begun_keeps_nothing_else_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dvc = FakeDvc(monkeypatch, a="Running", b="Queued")
    looks = iter([Queue({"a": "Queued", "b": "Queued"}, 1)])
    real = experiments.queue
    monkeypatch.setattr(experiments, "queue", lambda path: next(looks, None) or real(path))
    experiments.forget(tmp_path, ["a", "b"])
    assert dvc.asked == ["remove a b", "remove b"] and dvc.states == {"a": "Running"}
