"""Exponential moving average of the weights: Lightning's, of what learns only."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Pair = tuple[Tensor, Tensor]


class Averaging(WeightAveraging):
    """Lightning's callback (its swapping, its checkpoints) with an update that passes over
    whatever is frozen, all tensors in one call.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self._pairs: list[Pair] = []
        self._epoch = -1

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """To the module's device, where it has come since `setup`; the count stays, to be read."""
        assert self._average_model is not None
        self._average_model.module.to(pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any
    ) -> None:
        if trainer.global_step > self._latest_update_step:
            assert self._average_model is not None
            if self._epoch != trainer.current_epoch:  # what learns changes with the phase only
                self._pairs = learning(self._average_model.module, pl_module)
                self._epoch = trainer.current_epoch
            update(self._average_model, self._pairs, self.decay)
            self._latest_update_step = trainer.global_step


@torch.no_grad()
def update(average: AveragedModel, pairs: list[Pair], decay: float) -> None:
    """Move each averaged tensor a of the pairs (a, m) towards the model's: a += (1 - d) (m - a).

    d rises to `decay` over the first updates, from 0 at the first. Equal tensors stay equal.
    """
    count = int(average.n_averaged)
    rate = 1 - min(decay, (1 + count) / (10 + count)) if count else 1.0
    floats = [(a, m) for a, m in pairs if a.is_floating_point()]
    if floats:
        averages, models = zip(*floats, strict=True)
        torch._foreach_lerp_(averages, models, rate)
    for a, m in pairs:
        if not a.is_floating_point():  # batch norm counts its batches
            a.copy_(m)
    average.n_averaged += 1


def learning(average: nn.Module, model: nn.Module) -> list[Pair]:
    """The tensors of both, which are built alike, that training changes in `model`."""
    modules = list(zip(average.modules(), model.modules(), strict=True))
    parameters = zip(average.parameters(), model.parameters(), strict=True)
    buffers = (
        pair
        for own, other in modules
        if isinstance(other, nn.BatchNorm2d) and other.training
        for pair in zip(own.buffers(recurse=False), other.buffers(recurse=False), strict=True)
    )
    return [*((a, m) for a, m in parameters if m.requires_grad), *buffers]
