"""Every network trains to the same bytes twice, and after an interruption; on two threads too."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from tests.wbc.stores import make_store
from tests.wbc.test_training import settings
from wbc import device, training
from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network
from wbc.plan import make_plan


class Interruption(BaseException):
    """As sudden as Ctrl-C."""


def train(
    architecture: str,
    folder: Path,
    pretrained: bool,
    stop_after: int | None = None,
    threads: int = 1,
    on: str = "cpu",
) -> str:
    """The hash of the network's state and history after two steps in each of two epochs.

    Args:
        pretrained: as after pretrained weights: a head phase, then the upper blocks.
        stop_after: an epoch at whose end the training is interrupted and begun again.
        on: as `train.device`.
    """
    chosen = dataclasses.replace(settings(epochs=2, head_epochs=1, batch_size=8), seed=3)
    store = make_store(folder / "pixels", {"train": 4, "val": 1})
    plan = make_plan(chosen.train, chosen.seed, pretrained, store.part("train").labels)
    scratch = folder / "scratch"
    scratch.mkdir()

    def on_epoch(epoch: int, _row: training.Row) -> None:
        if epoch == stop_after:
            raise Interruption

    def fit() -> training.Outcome:
        training.seed_everything(chosen.seed)
        network = Network(architecture, 0.2, frozen_batch_norm=pretrained)
        chosen_device = device.pick(on, "auto", threads)
        return training.fit(network, store, plan, chosen_device, scratch, on_epoch)

    if stop_after:
        with pytest.raises(Interruption):
            fit()
        stop_after = None
    outcome = fit()
    state = outcome.network.net.state_dict().values()  # of the best epoch, which may be the first
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state))
    digest.update(repr(outcome.history).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_bytes_twice_and_after_an_interruption(architecture: str, tmp_path: Path) -> None:
    undisturbed = train(architecture, tmp_path / "a", pretrained=False)
    assert train(architecture, tmp_path / "b", pretrained=False, stop_after=2) == undisturbed


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_bytes_from_pretrained_weights(architecture: str, tmp_path: Path) -> None:
    threads = 2 if architecture == "googlenet" else 1
    undisturbed = train(architecture, tmp_path / "a", pretrained=True, threads=threads)
    again = train(architecture, tmp_path / "b", pretrained=True, threads=threads, stop_after=1)
    assert again == undisturbed
