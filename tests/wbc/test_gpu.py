"""On a GPU: the same bytes twice, near what a CPU computes, and no step that waits for the device.

They skip themselves where there is none.
"""

import dataclasses
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from tests.wbc.stores import make_store
from tests.wbc.test_exactness import train
from tests.wbc.test_training import settings
from wbc import device, training
from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network
from wbc.model import Classifier
from wbc.params import Augment
from wbc.plan import make_plan
from wbc.resident import Resident, in_device_memory

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_bytes_twice_and_after_an_interruption(architecture: str, tmp_path: Path) -> None:
    for pretrained in (False, True):
        once = train(architecture, tmp_path / f"a{pretrained}", pretrained, on="gpu")
        again = train(architecture, tmp_path / f"b{pretrained}", pretrained, stop_after=1, on="gpu")
        assert again == once


@pytest.mark.parametrize("changes", [{}, {"cache_views": 2}, {"imbalance": "loss_weights"}])
@pytest.mark.parametrize("augmented", ["by default", "by everything"])
def test_no_step_waits_for_the_device(
    tmp_path: Path, changes: dict[str, Any], augmented: str
) -> None:
    augment = settings().train.augment if augmented == "by default" else all_effects()
    watch = NoWaiting()
    try:
        fit(tmp_path, "gpu", "auto", [watch], augment=augment, **changes)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watch.steps >= 4


@pytest.mark.parametrize("architecture", ["googlenet", "mobilenet_v2"])
def test_in_32_bit_it_learns_what_a_cpu_learns(tmp_path: Path, architecture: str) -> None:
    rows = [fit(tmp_path / on, on, 32, architecture=architecture).history for on in ("cpu", "gpu")]
    for cpu, gpu, allowed in zip(*rows, (0.005, 0.1), strict=True):  # rounding grows step by step
        assert gpu["train/loss"] == pytest.approx(cpu["train/loss"], rel=allowed)


def test_in_bf16_it_learns_nearly_the_same(tmp_path: Path) -> None:
    full, half = (
        fit(tmp_path / str(p), "gpu", p, architecture="googlenet").history for p in (32, "bf16")
    )
    for one, other, allowed in zip(full, half, (0.02, 0.1), strict=True):
        assert other["train/loss"] == pytest.approx(one["train/loss"], rel=allowed)


def test_cells_lie_in_its_memory(tmp_path: Path) -> None:
    part = make_store(tmp_path / "pixels").part("train")
    (brought,) = in_device_memory([part], torch.device("cuda"))
    assert isinstance(brought, Resident) and brought.values.is_cuda
    rows = [len(part) - 1, 0, 5]
    assert np.array_equal(brought.read(rows).cpu().numpy(), part.read(rows))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answers_are_near_a_cpus(tmp_path: Path, architecture: str) -> None:
    pixels = make_store(tmp_path / "pixels").part("val").read([0, 5, 9])
    answers = []
    for where in ("cpu", "gpu"):
        device.pick(where, 32, 1)
        training.seed_everything(1)
        network = Network(architecture, 0.2, frozen_batch_norm=True).eval()
        network.freeze()
        place = "cuda" if where == "gpu" else "cpu"
        network.to(place).to(memory_format=torch.channels_last)
        classifier = Classifier(network, {"log_prior": [0.0] * 5, "decision": "none"}, place)
        answers.append(classifier.probabilities(pixels))
    assert np.abs(answers[0] - answers[1]).max() < 0.01


class NoWaiting(Callback):
    """From after the first step to before the last one, whatever waits for the device raises."""

    steps = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_batch: Any
    ) -> None:
        self.steps += 1
        left = int(trainer.num_training_batches) - trainer.fit_loop.epoch_loop.batch_idx - 1
        torch.cuda.set_sync_debug_mode("error" if left > 1 else "default")


def all_effects() -> Augment:
    """Every effect of another microscope at once."""
    strong = {"stain_hue": 0.1, "uptake": 0.5, "white_point": 0.1, "gamma": 0.3, "gradient": 0.2}
    optics = {"resolution": 0.4, "blur": 0.01, "fringe": 0.005, "sharpen": 0.5, "noise": 3}
    return dataclasses.replace(settings().train.augment, **strong, **optics, jpeg=40)


def fit(
    folder: Path,
    on: str,
    precision: str | int,
    watchers: list[Callback] | None = None,
    architecture: str = "squeezenet1_1",
    **changes: Any,
) -> training.Outcome:
    """Two epochs of eight steps from pretrained weights, the second on the upper layers."""
    chosen = settings(epochs=2, head_epochs=1, batch_size=10, **changes)
    store = make_store(folder / "pixels", {"train": 16, "val": 2})
    plan = make_plan(chosen.train, 1, True, store.part("train").labels)
    training.seed_everything(1)
    network = Network(architecture, 0.0, frozen_batch_norm=True)
    scratch = folder / "scratch"
    scratch.mkdir()
    place = device.pick(on, precision, 1)
    return training.fit(
        network, store, plan, place, scratch, lambda *_: None, watchers=watchers or []
    )
