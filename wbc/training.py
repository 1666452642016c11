"""Fine-tuning: head first, then the upper blocks (LP-FT), with EMA; Lightning runs the loop.

Knows nothing of MLflow or DVC: a store of pixels and a starting point go in, a network, its
history and its best epoch come out.
"""

import logging
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    TQDMProgressBar,
    WeightAveraging,
)
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from wbc.augment import NUM_DRAWS, augment, uniform_draws
from wbc.backbones import Network, Unfreeze
from wbc.device import Device
from wbc.metrics import scores
from wbc.params import Train
from wbc.pixels import PixelStore

log = logging.getLogger(__name__)

Row = dict[str, float | int | str]  # one epoch of the history
OnEpoch = Callable[[int, Row], None]
Batch = tuple[Tensor, Tensor, Tensor]  # pixels (N, S, S, 3) uint8, labels (N,), samples (N,)


@dataclass(frozen=True)
class Plan:
    """What one training run does, decided before it starts.

    `log_prior` (5,) are the logarithms of the class shares in training; `loss_weights` (5,) are
    all 1 unless `train.imbalance` is loss_weights.
    """

    train: Train
    seed: int
    unfreeze: Unfreeze
    head_epochs: int
    log_prior: tuple[float, ...]
    loss_weights: tuple[float, ...]
    steps_per_epoch: int


@dataclass(frozen=True)
class Outcome:
    """The network at its best epoch, one history row an epoch, and the best epoch's row."""

    network: Network
    history: list[Row]
    best: Row


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
        log_prior=tuple(float(round(x, 9)) for x in np.log(prior)),
        loss_weights=tuple(float(x) for x in weights / np.dot(weights, prior)),
        steps_per_epoch=max(1, len(labels) // train.batch_size),
    )


def fit(
    network: Network,
    store: PixelStore,
    plan: Plan,
    device: Device,
    scratch: Path,
    on_epoch: OnEpoch,
) -> Outcome:
    """Train on the store's `train` part, choose the epoch on its `val` part.

    Args:
        scratch: an empty folder for checkpoints; the caller removes it.
        on_epoch: called after every epoch with its number and history row.
    """
    _quiet()
    train_part, val_part = store.part("train"), store.part("val")
    module = TrainingModule(network, plan, val_part.labels, on_epoch)
    best = ModelCheckpoint(scratch, "best", monitor="val/improvements", mode="max")
    trainer = pl.Trainer(
        accelerator=device.accelerator,
        devices=1,
        precision=device.precision,
        deterministic=True,
        max_epochs=plan.train.epochs,
        callbacks=_callbacks(plan, best),
        logger=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        default_root_dir=scratch,
    )
    trainer.fit(
        module,
        _loader(train_part, plan.train.batch_size, ShuffledSampler(len(train_part), plan.seed)),
        _loader(val_part, plan.train.batch_size, None),
    )
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(state)
    rows = module.history
    return Outcome(network.cpu(), rows, max(rows, key=_rank))


def seed_everything(seed: int) -> None:
    """Seed what is drawn outside the training step: the new head, or all of a random start."""
    torch.manual_seed(_seed_of(seed, 0, 0))


class TrainingModule(pl.LightningModule):
    """The step, the schedule and the two phases."""

    def __init__(
        self,
        network: Network,
        plan: Plan,
        val_labels: NDArray[np.int64],
        on_epoch: OnEpoch,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.plan = plan
        self.history: list[Row] = []
        self._val_labels = val_labels
        self._on_epoch = on_epoch
        self._losses: list[Tensor] = []
        self._val_logits: list[Tensor] = []
        self.log_prior: Tensor
        self.loss_weights: Tensor
        self.register_buffer("log_prior", torch.tensor(plan.log_prior), persistent=False)
        self.register_buffer("loss_weights", torch.tensor(plan.loss_weights), persistent=False)

    def on_train_epoch_start(self) -> None:
        in_head_phase = self.current_epoch < self.plan.head_epochs
        self.network.unfreeze("head" if in_head_phase else self.plan.unfreeze)
        self._losses = []

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        pixels, labels, samples = batch
        draws = uniform_draws(self.plan.seed, self.current_epoch, samples.numpy(), NUM_DRAWS)
        # Dropout depends on (seed, step, rank) only, so an interrupted run can be continued.
        torch.manual_seed(_seed_of(self.plan.seed, self.global_step, self.global_rank))
        images = augment(_to_images(pixels), draws.to(pixels.device), self.plan.train.augment)
        loss = self._loss(self.network(images), labels, self.plan.train.label_smoothing)
        self._losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, _batch_index: int) -> None:
        self._val_logits.append(self.network(_to_images(batch[0])).float())

    def on_validation_epoch_end(self) -> None:
        logits, self._val_logits = torch.cat(self._val_logits), []
        labels = torch.from_numpy(self._val_labels).to(logits.device)
        row = self._row(self._loss(logits, labels, 0.0).item(), logits)
        self.log("val/macro_f1", float(row["val/macro_f1"]))
        self.history.append(row)
        # A count, because the rank itself (a pair) is no number that Lightning could compare.
        self.log("val/improvements", float(_count_improvements(self.history)))
        self._on_epoch(self.current_epoch, row)

    def configure_optimizers(self) -> Any:
        train, network = self.plan.train, self.network
        head, body = network.head_parameters(), network.body_parameters(self.plan.unfreeze)
        optimizer = torch.optim.AdamW(
            [{"params": head}, {"params": body}], lr=1.0, weight_decay=train.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, [lambda step: self._rate(step, True), lambda step: self._rate(step, False)]
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, _index: int) -> Batch:
        pixels, labels, samples = batch
        move = {"device": device, "non_blocking": True}
        return pixels.to(**move), labels.to(**move), samples  # type: ignore[call-overload]

    def _loss(self, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Cross-entropy of the probabilities in the training class mix (Menon 2021, eq. 10)."""
        return F.cross_entropy(
            logits + self._prior(), labels, weight=self.loss_weights, label_smoothing=smoothing
        )

    def _prior(self) -> Tensor:
        if self.plan.train.imbalance == "logit_adjustment":
            return self.log_prior
        return torch.zeros_like(self.log_prior)

    def _rate(self, step: int, is_head: bool) -> float:
        """Learning rate at a step: each phase warms up from 0 and falls along a cosine."""
        train, per_epoch = self.plan.train, self.plan.steps_per_epoch
        first = self.plan.head_epochs * per_epoch
        if step < first:
            return train.head_learning_rate * _warm_cosine(step, first, train) if is_head else 0.0
        rest = train.epochs * per_epoch - first
        return train.learning_rate * _warm_cosine(step - first, rest, train)

    def _row(self, val_loss: float, logits: Tensor) -> Row:
        probabilities = torch.softmax(logits + self._prior(), dim=1).cpu().numpy()
        val = scores(self._val_labels, logits.argmax(dim=1).cpu().numpy(), probabilities)
        rates = self.trainer.optimizers[0].param_groups
        return {
            "epoch": self.current_epoch,
            "phase": "head" if self.current_epoch < self.plan.head_epochs else self.plan.unfreeze,
            "learning_rate": round(max(group["lr"] for group in rates), 9),
            "train/loss": round(torch.stack(self._losses).mean().item(), 6),
            "val/loss": round(val_loss, 6),
            "val/accuracy": round(val["accuracy"], 6),
            "val/balanced_accuracy": round(val["balanced_accuracy"], 6),
            "val/macro_f1": round(val["macro_f1"], 6),
        }


class ShuffledSampler(Sampler[int]):
    """Another order every epoch, from (seed, epoch) only; Lightning calls `set_epoch`."""

    def __init__(self, num_samples: int, seed: int) -> None:
        self.num_samples, self.seed, self.epoch = num_samples, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.num_samples)
        return iter(order.tolist())


class _Cells(Dataset[Batch]):
    """Reads a whole batch from the memory map at once."""

    def __init__(self, part: PixelStore) -> None:
        self.part, self.labels = part, torch.from_numpy(part.labels)

    def __len__(self) -> int:
        return len(self.part)

    def __getitems__(self, rows: list[int]) -> Batch:
        samples = torch.tensor(rows)
        return torch.from_numpy(self.part.read(rows)), self.labels[samples], samples


class _HeadAwareEarlyStopping(EarlyStopping):
    """Patience counts from the end of the head phase on."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch >= getattr(pl_module, "plan").head_epochs:  # noqa: B009
            super().on_validation_end(trainer, pl_module)


class _PlainLines(Callback):
    """One line an epoch: all there is where no terminal draws a bar."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        row = getattr(pl_module, "history")[-1]  # noqa: B009
        log.info(
            "epoch %d/%s (%s): train loss %.4f, val loss %.4f, val macro-F1 %.4f",
            int(row["epoch"]) + 1,
            trainer.max_epochs,
            row["phase"],
            row["train/loss"],
            row["val/loss"],
            row["val/macro_f1"],
        )


def _callbacks(plan: Plan, best: ModelCheckpoint) -> list[Callback]:
    stop = _HeadAwareEarlyStopping("val/macro_f1", mode="max", patience=plan.train.patience)
    callbacks: list[Callback] = [best, stop, _PlainLines()]
    if sys.stderr.isatty():
        callbacks.append(TQDMProgressBar())
    if plan.train.ema_decay > 0:
        callbacks.append(WeightAveraging(avg_fn=_ema(plan.train.ema_decay)))
    return callbacks


def _ema(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential moving average that rises to `decay` and leaves equal tensors equal.

    The usual form decay * a + (1 - decay) * b would move frozen tensors by a rounding error.
    """

    def average(old: Tensor, new: Tensor, num_averaged: Tensor | int) -> Tensor:
        if not old.is_floating_point():
            return new
        count = float(num_averaged)
        return old + (1 - min(decay, (1 + count) / (10 + count))) * (new - old)

    return average


def _loader(part: PixelStore, batch_size: int, sampler: Sampler[int] | None) -> DataLoader[Batch]:
    """Whole batches in this process: a memory map needs no workers."""
    return DataLoader(
        _Cells(part),
        batch_size=min(batch_size, len(part)),
        sampler=sampler,
        drop_last=sampler is not None,
        collate_fn=_as_is,
    )


def _as_is(batch: Any) -> Any:
    return batch


def _to_images(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def _warm_cosine(step: int, num_steps: int, train: Train) -> float:
    warm = max(1, round(train.warmup_share * num_steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, num_steps - warm))))


def _rank(row: Row) -> tuple[float, float]:
    """The best epoch: highest validation macro-F1, and of equal ones the lowest loss."""
    return float(row["val/macro_f1"]), -float(row["val/loss"])


def _count_improvements(history: list[Row]) -> int:
    """How many epochs were better than every one before them."""
    ranks = [_rank(row) for row in history]
    return sum(all(rank > other for other in ranks[:i]) for i, rank in enumerate(ranks))


def _seed_of(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


def _quiet() -> None:
    """Lightning's advice on loaders, its banners and its own deprecations are noise here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
