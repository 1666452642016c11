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
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from numpy.typing import NDArray
from torch import Tensor

from wbc.augment import NUM_DRAWS, augment, to_images, uniform_draws
from wbc.averaging import Averaging
from wbc.backbones import Network
from wbc.batches import Batch, Part, train_loader, val_loader
from wbc.callbacks import EpochReport, HeadAwareEarlyStopping, PlainLines, SigtermAsBefore
from wbc.checkpoints import BestWeights, SaveLast, WholeFiles, ctrl_c_raises
from wbc.device import Device
from wbc.errors import UserError
from wbc.features import Trunk, Views, cached
from wbc.metrics import scores
from wbc.pixels import PixelStore
from wbc.plan import Plan, seed_of
from wbc.team import ALONE, Team, learned_statistics, lightning_options

log = logging.getLogger(__name__)

Row = dict[str, float | int | str]  # one epoch of the history
OnEpoch = Callable[[int, Row], None]


@dataclass(frozen=True)
class Outcome:
    """The network at its best epoch, one history row an epoch, and the best epoch's row.

    In a team only the first process has the best epoch's network.
    """

    network: Network
    history: list[Row]
    best: Row


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

    An interrupted training continues after its last whole epoch, to the same bytes.

    Args:
        scratch: a folder for checkpoints that belongs to exactly this training; what lies there is
            continued, and the caller removes it after success.
        on_epoch: called after every epoch with its number (from 1) and history row.
        team: processes that train together, each in its own call, all with the same `scratch`.
        watchers: more of Lightning's callbacks, called after all others; for measuring.

    Raises:
        UserError: the loss is no longer a number; the last good checkpoint stays in `scratch`.
    """
    _quiet()
    network.unfreeze(plan.unfreeze)  # what learns at any time, for DDP to know it all
    train_part, val_part = _parts(network, store, plan, device, scratch, team)
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
        callbacks=[*_callbacks(plan, best, on_epoch, team), *watchers, SaveLast(last, loader)],
        logger=False,
        plugins=[WholeFiles()],
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        default_root_dir=scratch,
    )
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
    return Outcome(network.cpu(), rows, max(rows, key=_rank))


def seed_everything(seed: int) -> None:
    """Seed what is drawn outside the training step: the new head, or all of a random start."""
    torch.manual_seed(seed_of(seed, 0, 0))


class TrainingModule(pl.LightningModule):
    """The step, the schedule and the two phases."""

    def __init__(
        self,
        network: Network,
        plan: Plan,
        val_labels: NDArray[np.int64],
        team: Team = ALONE,
    ) -> None:
        super().__init__()
        self.team = team
        self.network = network.to(memory_format=torch.channels_last)
        self.plan = plan
        self.history: list[Row] = []
        self._val_labels = val_labels
        self._losses: list[Tensor] = []
        self._val_logits: list[Tensor] = []
        self.log_prior: Tensor
        self.loss_weights: Tensor
        self.register_buffer("log_prior", torch.tensor(plan.log_prior), persistent=False)
        self.register_buffer("loss_weights", torch.tensor(plan.loss_weights), persistent=False)

    def on_train_start(self) -> None:
        self._enter_phase()  # an epoch that is continued does not start again

    def on_train_epoch_start(self) -> None:
        self._enter_phase()
        self._losses = []

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        cells, labels, samples = batch
        # Dropout depends on (seed, step, rank) only, so an interrupted run can be continued.
        torch.manual_seed(seed_of(self.plan.seed, self.global_step, self.global_rank))
        if cells.dtype == torch.uint8:
            cells = self._augmented(cells, samples)
        loss = self._loss(self._logits(cells), labels, self.plan.train.label_smoothing)
        loss = self._weighted(loss, labels)
        self._losses.append(loss.detach())
        return loss

    def on_after_backward(self) -> None:
        self.team.average(learned_statistics(self.network))

    def validation_step(self, batch: Batch, _batch_index: int) -> None:
        cells = batch[0]
        images = to_images(cells) if cells.dtype == torch.uint8 else cells
        self._val_logits.append(self._logits(images).float())

    def on_validation_epoch_end(self) -> None:
        own_logits, self._val_logits = torch.cat(self._val_logits), []
        logits = self.team.gathered(own_logits, len(self._val_labels))
        self._losses = list(self.team.mean(torch.stack(self._losses)))
        labels = torch.from_numpy(self._val_labels).to(logits.device)
        val_loss = self._loss(logits, labels, 0.0)
        self._refuse_what_is_no_number(val_loss)
        row = self._row(val_loss.item(), logits)
        self.log("val/macro_f1", float(row["val/macro_f1"]), prog_bar=True)
        self.history.append(row)

    def last_is_best(self) -> bool:
        """Whether the epoch that was validated last was better than all before it."""
        *before, last = map(_rank, self.history)
        return all(last > rank for rank in before)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history
        checkpoint["losses"] = self._losses

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history, self._losses = list(checkpoint["history"]), list(checkpoint["losses"])
        steps = f" and {n} steps" if (n := checkpoint["num_steps"]) else ""
        log.info("continuing an interrupted training after epoch %d%s", len(self.history), steps)

    def configure_optimizers(self) -> Any:
        train, network = self.plan.train, self.network
        head, body = network.head_parameters(), network.body_parameters(self.plan.unfreeze)
        optimizer = torch.optim.AdamW(
            [{"params": head}, {"params": body}], lr=1.0, weight_decay=train.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            [lambda step: self.plan.rate(step, True), lambda step: self.plan.rate(step, False)],
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, _index: int) -> Batch:
        pixels, labels, samples = batch
        move = {"device": device, "non_blocking": True}
        return pixels.to(**move), labels.to(**move), samples  # type: ignore[call-overload]

    def _augmented(self, pixels: Tensor, samples: Tensor) -> Tensor:
        draws = uniform_draws(self.plan.seed, self.current_epoch, samples.numpy(), NUM_DRAWS)
        with torch.autocast(pixels.device.type, enabled=False):  # half precision misplaces pixels
            return augment(to_images(pixels), draws.to(pixels.device), self.plan.train.augment)

    def _logits(self, cells: Tensor) -> Tensor:
        """Of images (N, 3, S, S), or of cached features (N, H, W, C) in half precision."""
        if cells.dtype != torch.float16:
            return self.network(cells)  # type: ignore[no-any-return]
        return self.network.learned(cells.permute(0, 3, 1, 2).float(), self.plan.unfreeze)

    def _enter_phase(self) -> None:
        in_head_phase = self.current_epoch < self.plan.head_epochs
        self.network.unfreeze("head" if in_head_phase else self.plan.unfreeze)

    def _loss(self, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Cross-entropy of the probabilities in the training class mix (Menon 2021, eq. 10)."""
        return F.cross_entropy(
            logits + self._prior(), labels, weight=self.loss_weights, label_smoothing=smoothing
        )

    def _weighted(self, loss: Tensor, labels: Tensor) -> Tensor:
        """Weighted means divide by their own cells' weights; here the whole batch's are meant."""
        if self.team.size == 1 or self.plan.train.imbalance != "loss_weights":
            return loss
        own = self.loss_weights[labels].sum()
        return loss * own / self.team.mean(own)

    def _refuse_what_is_no_number(self, val_loss: Tensor) -> None:
        losses = torch.stack(self._losses)
        broken = torch.nonzero(~torch.isfinite(losses))
        if len(broken) == 0 and bool(torch.isfinite(val_loss)):
            return
        where = f"step {int(broken[0]) + 1} of {len(losses)}" if len(broken) else "validation"
        raise UserError(
            f"The loss was expected to be a number, but is {float(losses.mean()):g} since {where}"
            f" in epoch {self.current_epoch + 1}; lower train.learning_rate"
            f" ({self.plan.train.learning_rate:g}) or train.head_learning_rate"
            f" ({self.plan.train.head_learning_rate:g}), or set train.precision: 32."
        )

    def _prior(self) -> Tensor:
        if self.plan.train.imbalance == "logit_adjustment":
            return self.log_prior
        return torch.zeros_like(self.log_prior)

    def _row(self, val_loss: float, logits: Tensor) -> Row:
        probabilities = torch.softmax(logits + self._prior(), dim=1).cpu().numpy()
        val = scores(self._val_labels, logits.argmax(dim=1).cpu().numpy(), probabilities)
        rates = self.trainer.optimizers[0].param_groups
        return {
            "epoch": self.current_epoch + 1,
            "phase": "head" if self.current_epoch < self.plan.head_epochs else self.plan.unfreeze,
            "learning_rate": round(max(group["lr"] for group in rates), 9),
            "train/loss": round(torch.stack(self._losses).mean().item(), 6),
            "val/loss": round(val_loss, 6),
            "val/accuracy": round(val["accuracy"], 6),
            "val/balanced_accuracy": round(val["balanced_accuracy"], 6),
            "val/macro_f1": round(val["macro_f1"], 6),
        }


def _parts(
    network: Network, store: PixelStore, plan: Plan, device: Device, scratch: Path, team: Team
) -> tuple[Part, Part]:
    """What is trained and validated on: pixels, or cached features."""
    train_part, val_part = store.part("train"), store.part("val")
    if plan.cache_views == 0:
        if plan.train.cache_views:
            log.warning("train.cache_views is not used: after a random start no layer is frozen")
        return train_part, val_part
    network.to(memory_format=torch.channels_last)
    trunk = Trunk(network, device, team)
    views = Views(plan.cache_views, plan.seed, plan.train.augment)
    size = plan.train.batch_size
    return (
        cached(trunk, train_part, views, scratch / "train.features.npy", size),
        cached(trunk, val_part, Views(1), scratch / "val.features.npy", size),
    )


def _callbacks(plan: Plan, best: BestWeights, on_epoch: OnEpoch, team: Team) -> list[Callback]:
    """All but the one that saves, in their order: weights are averaged after they are kept."""
    stop = HeadAwareEarlyStopping("val/macro_f1", plan.train.patience, plan.head_epochs)
    progress = TQDMProgressBar() if sys.stderr.isatty() else PlainLines()
    callbacks: list[Callback] = [best, stop, progress, EpochReport(on_epoch)]
    if team.size > 1:
        callbacks.append(SigtermAsBefore())
    if plan.train.ema_decay > 0:
        callbacks.append(Averaging(plan.train.ema_decay))
    return callbacks


def _rank(row: Row) -> tuple[float, float]:
    """The best epoch: highest validation macro-F1, and of equal ones the lowest loss."""
    return float(row["val/macro_f1"]), -float(row["val/loss"])


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
