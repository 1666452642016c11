"""Fine-tuning: head first, then the upper blocks (LP-FT), with EMA; Lightning runs the loop.

Knows nothing of MLflow or DVC: a store of pixels and a starting point go in, a network, its
history and its best epoch come out.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback, TQDMProgressBar

from wbc.averaging import Averaging
from wbc.backbones import Network
from wbc.batches import train_loader, val_loader
from wbc.callbacks import EpochReport, HeadAwareEarlyStopping, PlainLines, signals_as_before
from wbc.checkpoints import BestWeights, SaveLast, WholeFiles, ctrl_c_raises
from wbc.device import Device, within_memory
from wbc.features import Features, Trunk, Views, cached
from wbc.pixels import PixelStore
from wbc.plan import Plan, seed_of
from wbc.resident import in_device_memory
from wbc.team import ALONE, Team, lightning_options
from wbc.training_module import Row, TrainingModule, rank

log = logging.getLogger(__name__)

_SMALLER: Final = (
    "lower train.batch_size or preprocess.input_size, or end other programs, and run the same"
    " command again"
)
OnEpoch = Callable[[int, Row], None]


@dataclass(frozen=True)
class Outcome:
    """The network at its best epoch, one history row an epoch, and the best epoch's row.

    In a team only the first process has the best epoch's network.
    """

    network: Network
    history: list[Row]
    best: Row


@within_memory(_SMALLER)
def fit(
    network: Network,
    store: PixelStore,
    plan: Plan,
    device: Device,
    scratch: Path,
    on_epoch: OnEpoch,
    team: Team = ALONE,
    watchers: Sequence[Callback] = (),
) -> Outcome:
    """Train on the store's `train` part, choose the epoch on its `val` part.

    An interrupted training continues where it was saved last, to the same bytes.

    Args:
        scratch: a folder for checkpoints that belongs to exactly this training; what lies there is
            continued, and the caller removes it after success.
        on_epoch: called after every epoch with its number (from 1) and history row.
        team: processes that train together, each in its own call, all with the same `scratch`.
        watchers: more of Lightning's callbacks, called after all others; for measuring.

    Raises:
        UserError: the loss is no longer a number, or memory is not enough; the last good
            checkpoint stays in `scratch`.
    """
    _quiet()
    network.unfreeze(plan.unfreeze)  # what learns at any time, for DDP to know it all
    parts = _parts(network, store, plan, device, scratch, team)
    train_part, val_part = in_device_memory(parts, torch.device(device.type, team.local_rank))
    module = TrainingModule(network, plan, val_part.labels, team)
    best = BestWeights()
    last = scratch / "last.ckpt"
    size, workers = plan.train.batch_size, plan.train.loader_workers
    loader = train_loader(train_part, size, plan.seed, team, workers)
    trainer = pl.Trainer(
        accelerator=device.accelerator,
        **lightning_options(team, device.type),
        precision=device.precision,
        deterministic=True,
        max_epochs=plan.train.epochs,
        callbacks=[*_callbacks(plan, best, on_epoch), *watchers, SaveLast(last, loader, team)],
        logger=False,
        plugins=[WholeFiles(), *(() if team.size > 1 else [LightningEnvironment()])],
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        default_root_dir=scratch,
    )
    if team.size > 1:
        signals_as_before(trainer)
    with ctrl_c_raises():
        trainer.fit(
            module,
            loader,
            val_loader(val_part, size, team, workers),
            ckpt_path=last if team.all_see(last) else None,
            weights_only=True,
        )
    module.load_state_dict(best.weights)
    rows = module.history
    return Outcome(network.cpu(), rows, max(rows, key=rank))


def seed_everything(seed: int) -> None:
    """Seed what is drawn outside the training step: the new head, or all of a random start."""
    torch.manual_seed(seed_of(seed, 0, 0))


def _parts(
    network: Network, store: PixelStore, plan: Plan, device: Device, scratch: Path, team: Team
) -> tuple[PixelStore | Features, PixelStore | Features]:
    """What is trained and validated on: pixels, or cached features."""
    train_part, val_part = store.part("train"), store.part("val")
    if plan.cache_views == 0:
        if plan.train.cache_views:
            log.warning("train.cache_views is not used: after a random start no layer is frozen")
        return train_part, val_part
    trunk = Trunk(network, device, team)
    network.to(trunk.place).to(memory_format=torch.channels_last)
    views = Views(plan.cache_views, plan.seed, plan.train.augment)
    size = plan.train.batch_size
    return (
        cached(trunk, train_part, views, scratch / "train.features.npy", size),
        cached(trunk, val_part, Views(1), scratch / "val.features.npy", size),
    )


def _callbacks(plan: Plan, best: BestWeights, on_epoch: OnEpoch) -> list[Callback]:
    """All but the one that saves, in their order: weights are averaged after they are kept."""
    stop = HeadAwareEarlyStopping("val/macro_f1", plan.train.patience, plan.head_epochs)
    progress = TQDMProgressBar() if sys.stderr.isatty() else PlainLines()
    callbacks: list[Callback] = [best, stop, progress, EpochReport(on_epoch)]
    if plan.train.ema_decay > 0:
        callbacks.append(Averaging(plan.train.ema_decay))
    return callbacks


def _quiet() -> None:
    """Lightning's advice on loaders, its banners and its own deprecations are noise here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*recommended to use `self.log.*sync_dist.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* is not empty.*")
