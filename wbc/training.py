"""Fine-tuning: head first, then the upper blocks (LP-FT), with EMA; Lightning runs the loop.

Knows nothing of MLflow or DVC: a store of pixels and a starting point go in, a network, its
history and its best epoch come out.
"""

import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, TQDMProgressBar, WeightAveraging
from numpy.typing import NDArray
from torch import Tensor

from wbc.augment import NUM_DRAWS, augment, uniform_draws
from wbc.backbones import Network
from wbc.batches import Batch, train_loader, val_loader
from wbc.callbacks import EpochReport, HeadAwareEarlyStopping, PlainLines, exponential_average
from wbc.checkpoints import BestWeights, SaveLast, WholeFiles, ctrl_c_raises
from wbc.device import Device
from wbc.errors import UserError
from wbc.metrics import scores
from wbc.pixels import PixelStore
from wbc.plan import Plan, seed_of

log = logging.getLogger(__name__)

Row = dict[str, float | int | str]  # one epoch of the history
OnEpoch = Callable[[int, Row], None]


@dataclass(frozen=True)
class Outcome:
    """The network at its best epoch, one history row an epoch, and the best epoch's row."""

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
) -> Outcome:
    """Train on the store's `train` part, choose the epoch on its `val` part.

    An interrupted training continues after its last whole epoch, to the same bytes.

    Args:
        scratch: a folder for checkpoints that belongs to exactly this training; what lies there is
            continued, and the caller removes it after success.
        on_epoch: called after every epoch with its number (from 1) and history row.

    Raises:
        UserError: the loss is no longer a number; the last good checkpoint stays in `scratch`.
    """
    _quiet()
    train_part, val_part = store.part("train"), store.part("val")
    module = TrainingModule(network, plan, val_part.labels)
    best = BestWeights()
    last = scratch / "last.ckpt"
    loader = train_loader(train_part, plan.train.batch_size, plan.seed)
    trainer = pl.Trainer(
        accelerator=device.accelerator,
        devices=1,
        precision=device.precision,
        deterministic=True,
        max_epochs=plan.train.epochs,
        callbacks=[*_callbacks(plan, best, on_epoch), SaveLast(last, loader)],
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
            val_loader(val_part, plan.train.batch_size),
            ckpt_path=last if last.is_file() else None,
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
    ) -> None:
        super().__init__()
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
        pixels, labels, samples = batch
        draws = uniform_draws(self.plan.seed, self.current_epoch, samples.numpy(), NUM_DRAWS)
        # Dropout depends on (seed, step, rank) only, so an interrupted run can be continued.
        torch.manual_seed(seed_of(self.plan.seed, self.global_step, self.global_rank))
        with torch.autocast(pixels.device.type, enabled=False):  # half precision misplaces pixels
            images = augment(_to_images(pixels), draws.to(pixels.device), self.plan.train.augment)
        loss = self._loss(self.network(images), labels, self.plan.train.label_smoothing)
        self._losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, _batch_index: int) -> None:
        self._val_logits.append(self.network(_to_images(batch[0])).float())

    def on_validation_epoch_end(self) -> None:
        logits, self._val_logits = torch.cat(self._val_logits), []
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

    def _enter_phase(self) -> None:
        in_head_phase = self.current_epoch < self.plan.head_epochs
        self.network.unfreeze("head" if in_head_phase else self.plan.unfreeze)

    def _loss(self, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Cross-entropy of the probabilities in the training class mix (Menon 2021, eq. 10)."""
        return F.cross_entropy(
            logits + self._prior(), labels, weight=self.loss_weights, label_smoothing=smoothing
        )

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


def _callbacks(plan: Plan, best: BestWeights, on_epoch: OnEpoch) -> list[Callback]:
    """All but the one that saves, in their order: weights are averaged after they are kept."""
    stop = HeadAwareEarlyStopping("val/macro_f1", plan.train.patience, plan.head_epochs)
    progress = TQDMProgressBar() if sys.stderr.isatty() else PlainLines()
    callbacks: list[Callback] = [best, stop, progress, EpochReport(on_epoch)]
    if plan.train.ema_decay > 0:
        callbacks.append(WeightAveraging(avg_fn=exponential_average(plan.train.ema_decay)))
    return callbacks


def _to_images(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


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
