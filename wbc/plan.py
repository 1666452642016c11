"""What one training run does, decided before it starts: phases, learning rates, class weights."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wbc.backbones import Unfreeze
from wbc.errors import UserError
from wbc.params import Train

# With so many training cells cached views gave models as good as other seeds do; with 200 slightly
# worse ones (docs/speed.md, from benchmarks.cached_quality).
MIN_CACHED: Final = 750


@dataclass(frozen=True)
class Plan:
    """What one training run does, decided before it starts.

    `log_prior` (5,) are the logarithms of the class shares in training; `loss_weights` (5,) are
    all 1 unless `train.imbalance` is loss_weights. `cache_views` is 0 where nothing is frozen.
    """

    train: Train
    seed: int
    unfreeze: Unfreeze
    head_epochs: int
    cache_views: int
    log_prior: tuple[float, ...]
    loss_weights: tuple[float, ...]
    steps_per_epoch: int

    def rate(self, step: int, is_head: bool) -> float:
        """Learning rate at a step: each phase warms up from 0 and falls along a cosine."""
        train, per_epoch = self.train, self.steps_per_epoch
        first = self.head_epochs * per_epoch
        if step < first:
            return train.head_learning_rate * _warm_cosine(step, first, train) if is_head else 0.0
        rest = train.epochs * per_epoch - first
        return train.learning_rate * _warm_cosine(step - first, rest, train)


def make_plan(train: Train, seed: int, pretrained: bool, labels: NDArray[np.int64]) -> Plan:
    """Without pretrained weights everything learns from the start and there is no head phase."""
    counts = np.maximum(np.bincount(labels, minlength=5), 1).astype(np.float64)
    prior = counts / counts.sum()
    weights = prior.mean() / prior if train.imbalance == "loss_weights" else np.ones(5)
    return Plan(
        train=train,
        seed=seed,
        unfreeze=train.unfreeze if pretrained else "all",
        head_epochs=min(train.head_epochs, train.epochs) if pretrained else 0,
        cache_views=train.cache_views if pretrained else 0,
        log_prior=tuple(float(round(x, 9)) for x in np.log(prior)),
        loss_weights=tuple(float(x) for x in weights / np.dot(weights, prior)),
        steps_per_epoch=max(1, len(labels) // train.batch_size),
    )


def refuse_caching_few(plan: Plan, num_cells: int) -> None:
    """Cached views are offered only where they are known to cost no quality.

    Raises:
        UserError: features are to be cached for fewer training cells than MIN_CACHED.
    """
    if plan.cache_views and num_cells < MIN_CACHED:
        raise UserError(
            f"train.cache_views is {plan.cache_views}, which needs at least {MIN_CACHED} cells to"
            f" train on and has {num_cells}: with fewer, fixed views cost more quality than another"
            " seed would (docs/speed.md); set train.cache_views to 0."
        )


def _warm_cosine(step: int, num_steps: int, train: Train) -> float:
    warm = max(1, round(train.warmup_share * num_steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, num_steps - warm))))


def seed_of(seed: int, step: int, rank: int) -> int:
    """A 32-bit seed for one step of one process."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])
