"""What `make repro` does first: the default parameters, from random weights, to a good score."""

from pathlib import Path

import pytest

from tests.pipeline.conftest import commit, make_repository

pytestmark = pytest.mark.pipeline


def test_the_sample_is_learnt_from_random_weights(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    # `auto` would take ImageNet's where it can; fewer epochs than the default, for the time's sake,
    # and one thread: two wait for each other in a busy loop where other tests have the cores.
    repository.set(model__weights="none", train__epochs=2, train__threads=1)
    commit(repository, "first run")
    repository.run("dvc", "repro", "evaluate@googlenet")
    scores = repository.metrics("googlenet")
    assert scores["test_a"]["balanced_accuracy"]["value"] >= 0.75
    [version] = repository.versions()
    assert (version.tags["start"], version.tags["drawn"]) == ("random", "true")
