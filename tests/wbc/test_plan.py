"""The plan: class weights, phases, learning rates."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wbc import params
from wbc.errors import UserError
from wbc.plan import make_plan, refuse_caching_few, seed_of

TRAIN = params.load(Path(__file__).parent.parent.parent / "params.yaml").train


def train(**changes: Any) -> params.Train:
    return dataclasses.replace(TRAIN, **changes)


def test_loss_weights_are_inverse_to_the_classes() -> None:
    labels = np.repeat(np.arange(5), [40, 20, 20, 10, 10])
    weighted = make_plan(train(imbalance="loss_weights"), 1, True, labels)
    ratio = np.array(weighted.loss_weights) * [40, 20, 20, 10, 10]
    assert ratio == pytest.approx([ratio[0]] * 5)
    assert np.dot(weighted.loss_weights, [0.4, 0.2, 0.2, 0.1, 0.1]) == pytest.approx(1)
    plain = make_plan(train(imbalance="none"), 1, True, labels)
    assert plain.loss_weights == (1, 1, 1, 1, 1)


def test_each_phase_warms_up_and_falls() -> None:
    chosen = train(epochs=10, head_epochs=4, warmup_share=0.25, batch_size=8)
    plan = make_plan(chosen, 1, True, np.zeros(80, dtype=np.int64))
    head = [plan.rate(step, True) for step in range(100)]
    body = [plan.rate(step, False) for step in range(100)]
    assert body[:40] == [0.0] * 40 and body[40:] == head[40:]
    assert max(head[:40]) == pytest.approx(chosen.head_learning_rate)
    assert max(body) == pytest.approx(chosen.learning_rate)
    assert head[0] < head[5] < head[9] > head[20] > head[39]


def test_a_random_start_has_one_phase_in_which_all_learns() -> None:
    plan = make_plan(train(unfreeze="head", head_epochs=2), 1, False, np.arange(5))
    assert (plan.unfreeze, plan.head_epochs) == ("all", 0)
    assert plan.rate(0, False) == plan.rate(0, True) > 0


def test_seeds_of_steps_and_processes_differ() -> None:
    seeds = {seed_of(1, step, rank) for step in range(50) for rank in range(4)}
    assert len(seeds) == 200 and seed_of(1, 3, 2) == seed_of(1, 3, 2)


def test_views_of_few_cells_are_not_cached() -> None:
    plan = make_plan(train(cache_views=8), 1, True, np.arange(749) % 5)
    with pytest.raises(UserError, match=r"at least 750 cells .* has 749: .*_views to 0"):
        refuse_caching_few(plan, 749)
    refuse_caching_few(plan, 750)
    refuse_caching_few(make_plan(train(), 1, True, np.arange(9) % 5), 9)
    random_start = make_plan(train(cache_views=8), 1, False, np.arange(9) % 5)
    refuse_caching_few(random_start, 9)  # nothing is cached then
