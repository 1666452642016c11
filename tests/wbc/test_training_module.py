"""A step on another device, which "meta" stands for: its tensors have no numbers to ask for."""

import contextlib
import dataclasses

import numpy as np
import pytest
import torch
from torch.distributed.utils import _to_kwargs

from tests.wbc.test_augment import EVERYTHING
from tests.wbc.test_training import settings
from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network
from wbc.params import Train
from wbc.plan import make_plan
from wbc.training_module import TrainingModule

STEPS = [
    *((name, settings().train) for name in ARCHITECTURES),
    ("squeezenet1_1", settings(augment=dataclasses.replace(EVERYTHING, microscope_share=1)).train),
    ("squeezenet1_1", settings(imbalance="loss_weights").train),
]


@pytest.mark.parametrize(("architecture", "train"), STEPS)
def test_a_step_mixes_no_devices_and_asks_for_no_numbers(
    monkeypatch: pytest.MonkeyPatch, architecture: str, train: Train
) -> None:
    """Either would raise: a GPU would have to be waited for."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    for name in ("current_epoch", "global_step", "global_rank"):
        monkeypatch.setattr(TrainingModule, name, 0)
    labels = np.arange(10) % 5
    network = Network(architecture, 0.2, frozen_batch_norm=True)
    module = TrainingModule(network, make_plan(train, 1, True, labels), labels).to("meta")
    network.train().unfreeze("upper")
    pixels = torch.empty((8, 64, 64, 3), dtype=torch.uint8, device="meta")
    as_read = pixels, torch.empty(8, dtype=torch.int64, device="meta"), np.arange(8)
    # A team's GPUs: DDP moves whatever is a tensor.
    ((batch,),), _ = _to_kwargs((as_read,), {}, torch.device("meta"), False)
    loss = module.training_step(batch, 0)
    loss.backward()
    assert loss.is_meta
    learning = [p for p in network.parameters() if p.requires_grad]
    assert learning and all(p.grad is not None and p.grad.is_meta for p in learning)
    module.validation_step(batch, 0)
