"""What Lightning trains: the step, the schedule and the two phases."""

import logging
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wbc.augment import NUM_DRAWS, augment, to_images, uniform_draws
from wbc.backbones import Network
from wbc.batches import Batch
from wbc.device import send
from wbc.errors import UserError
from wbc.metrics import scores
from wbc.plan import Plan, seed_of
from wbc.team import ALONE, Team, learned_statistics

log = logging.getLogger(__name__)

Row = dict[str, float | int | str]  # one epoch of the history


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
        _generator(self.device).manual_seed(
            seed_of(self.plan.seed, self.global_step, self.global_rank)
        )
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
        self._losses = list(self.team.mean(self._stacked_losses()))
        labels = torch.from_numpy(self._val_labels).to(logits.device)
        val_loss = self._loss(logits, labels, 0.0)
        self._refuse_what_is_no_number(val_loss)
        row = self._row(val_loss.item(), logits)
        self.log("val/macro_f1", float(row["val/macro_f1"]), prog_bar=True)
        self.history.append(row)

    def is_sound(self) -> bool:
        """Whether the epoch's losses so far, of all processes, and all that learns are numbers."""
        losses = self.team.mean(self._stacked_losses())
        learning = (p for p in self.network.parameters() if p.requires_grad)
        return all(bool(torch.isfinite(tensor).all()) for tensor in (losses, *learning))

    def last_is_best(self) -> bool:
        """Whether the epoch that was validated last was better than all before it."""
        *before, last = map(rank, self.history)
        return all(last > rank for rank in before)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history
        own = self._stacked_losses()
        checkpoint["losses"] = self.team.gathered(own[None], self.team.size)  # (processes, steps)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])
        self._losses = list(checkpoint["losses"][self.team.rank])
        steps = f" and {n} steps" if (n := checkpoint["num_steps"]) else ""
        log.info("continuing an interrupted training after epoch %d%s", len(self.history), steps)

    def configure_optimizers(self) -> Any:
        train, network = self.plan.train, self.network
        head, body = network.head_parameters(), network.body_parameters(self.plan.unfreeze)
        optimizer = torch.optim.AdamW(
            [{"params": head}, {"params": body}],
            lr=1.0,
            weight_decay=train.weight_decay,
            fused=True,  # one pass over the memory: a third of the time in a small network
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
        return send(pixels, device), send(labels, device), samples

    def _augmented(self, pixels: Tensor, samples: NDArray[np.int64]) -> Tensor:
        draws = uniform_draws(self.plan.seed, self.current_epoch, samples, NUM_DRAWS)
        with torch.autocast(pixels.device.type, enabled=False):  # half precision misplaces pixels
            return augment(to_images(pixels), draws, self.plan.train.augment)

    def _logits(self, cells: Tensor) -> Tensor:
        """Of images (N, 3, S, S), or of cached features in half precision, channels last."""
        if cells.dtype != torch.float16:
            return self.network(cells)  # type: ignore[no-any-return]
        return self.network.learned(cells.movedim(-1, 1).float(), self.plan.unfreeze)

    def _stacked_losses(self) -> Tensor:
        """This process's, of the epoch's steps so far; those of a checkpoint come from the CPU."""
        return torch.stack([loss.to(self.device) for loss in self._losses])

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


def _generator(device: torch.device) -> torch.Generator:
    """What dropout draws from there; torch.manual_seed would seed every device's, 1 ms a step."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    return torch.default_generator


def rank(row: Row) -> tuple[float, float]:
    """The best epoch: highest validation macro-F1, and of equal ones the lowest loss."""
    return float(row["val/macro_f1"]), -float(row["val/loss"])
