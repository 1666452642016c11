"""Small trainings that test_team.py makes alone and, through torchrun, with two processes.

`torchrun --nproc-per-node 2 -m tests.wbc.scenarios FOLDER` makes them all and leaves for each the
first process's weights (NAME.safetensors) and history (NAME.json), one run after the other, so
that what costs most, the start of the processes, is paid once.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.connectors.signal_connector import _HandlersCompose
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.wbc.stores import make_store
from wbc import device, params, training
from wbc.backbones import Network
from wbc.pixels import PixelStore
from wbc.plan import make_plan
from wbc.processes import signals_raise
from wbc.team import ALONE, Team, read_team

ROOT = Path(__file__).parent.parent.parent
STEPS = 4  # in an epoch
FROZEN = {
    "learning_rate": 1e-4,
    "dropout": 0.0,
    "batch_norm": "frozen",
    "imbalance": "loss_weights",
}
LEARNED = {
    "learning_rate": 3e-4,
    "dropout": 0.2,
    "batch_norm": "train",
    "imbalance": "logit_adjustment",
}
SCENARIOS: dict[str, dict[str, Any]] = {
    "frozen": FROZEN,
    "frozen-read-ahead": {**FROZEN, "loader_workers": 2},
    "cached": {**FROZEN, "unfreeze": "upper", "cache_views": 3},
    "learned": LEARNED,
    "learned-interrupted": {**LEARNED, "interrupted_after": 2},
    "learned-stopped": {**LEARNED, "stopped_in": STEPS + 3},
    "learned-stopped-in-validation": {**LEARNED, "stopped_in": 2 * STEPS},
}


class Interruption(BaseException):
    """As sudden as Ctrl-C."""


class Preempted(Callback):
    """SIGTERM to the last process, and to no other, in a step."""

    def __init__(self, step: int, team: Team) -> None:
        self.step, self.hears = step, team.rank == team.size - 1

    def on_train_start(self, *_: Any) -> None:
        assert not isinstance(signal.getsignal(signal.SIGTERM), _HandlersCompose)  # Lightning's

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.hears and trainer.global_step == self.step - 1:
            os.kill(os.getpid(), signal.SIGTERM)


def uneven_store(folder: Path) -> PixelStore:
    """Classes of unequal size, and a number of validation cells that two cannot share evenly."""
    store = make_store(folder, {"train": 16, "val": 5})
    dropped = [*range(6), *range(16, 19), 80]
    return dataclasses.replace(store, table=store.table.drop(index=dropped))


def fit(
    folder: Path,
    team: Team = ALONE,
    dropout: float = 0.0,
    interrupted_after: int = 0,
    stopped_in: int = 0,
    **changes: Any,
) -> training.Outcome:
    """ShuffleNet (it has batch norm) on blobs, interrupted and continued if so told.

    Args:
        folder: holds the checkpoints and is the same for all processes.
        interrupted_after: an epoch, from 1.
        stopped_in: a step, from 1, in which one process of the team gets a SIGTERM.
    """
    train = params.load(ROOT / "params.yaml").train
    quick = {"epochs": 4, "head_epochs": 1, "batch_size": 16, "unfreeze": "all"}
    train = dataclasses.replace(train, **{**quick, **changes}, processes=team.size)
    store = uneven_store(folder / f"pixels-{team.rank}")
    plan = make_plan(train, 1, True, store.part("train").labels)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)

    def interrupt(epoch: int, _row: training.Row) -> None:
        if interrupted_after and epoch == interrupted_after + 1:
            raise Interruption

    on_cpu = device.pick("cpu", "auto", 1)
    if interrupted_after or stopped_in:
        network = started(dropout, train.batch_norm == "frozen", store)
        preempted = [Preempted(stopped_in, team)]
        with suppress(Interruption, SystemExit), signals_raise():
            training.fit(network, store, plan, on_cpu, scratch, interrupt, team, preempted)
        if stopped_in:
            saved = torch.load(scratch / "last.ckpt", weights_only=True)["num_steps"]
            assert saved == stopped_in % STEPS
    network = started(dropout, train.batch_norm == "frozen", store)
    return training.fit(network, store, plan, on_cpu, scratch, lambda *_: None, team)


def started(dropout: float, frozen_batch_norm: bool, store: PixelStore) -> Network:
    """Random weights with batch-norm statistics that fit them, as pretrained weights have them."""
    training.seed_everything(1)
    network = Network("shufflenet_v2_x1_0", dropout, frozen_batch_norm=False)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    images = torch.from_numpy(store.part("train").read(list(range(64))))
    with torch.no_grad():
        network.train()(images.permute(0, 3, 1, 2).float() / 255)
    for norm in norms:
        norm.momentum = 0.1
    network.frozen_batch_norm = frozen_batch_norm
    return network


def state_of(outcome: training.Outcome) -> dict[str, Tensor]:
    return {name: t.contiguous() for name, t in outcome.network.net.state_dict().items()}


def agree_on_weights(module: training.TrainingModule) -> None:
    """Every process validates the same network, to the bit, batch-norm statistics included."""
    tensors = module.network.net.state_dict().values()
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors))
    module.team.agree_on({"validated networks": digest.hexdigest()})


def main() -> None:
    folder = Path(sys.argv[1])
    team = read_team(os.environ, num_processes=2)
    setattr(training.TrainingModule, "on_validation_epoch_start", agree_on_weights)  # noqa: B010
    with team.joined("cpu"):
        for name, scenario in SCENARIOS.items():
            outcome = fit(folder, team, **scenario)
            if team.leads:
                save_file(state_of(outcome), folder / f"{name}.safetensors")
                (folder / f"{name}.json").write_text(json.dumps(outcome.history))
                shutil.rmtree(folder / "scratch")
            team.from_first(None)  # nobody begins the next one before that


if __name__ == "__main__":
    main()
