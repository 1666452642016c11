"""What happens around the steps: stopping early, a line an epoch."""

import logging
from collections.abc import Callable

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping

log = logging.getLogger(__name__)


class HeadAwareEarlyStopping(EarlyStopping):
    """Patience counts from the end of the head phase on, and so does the best score."""

    def __init__(self, monitor: str, patience: int, head_epochs: int) -> None:
        super().__init__(monitor, mode="max", patience=patience, check_on_train_epoch_end=True)
        self.head_epochs = head_epochs

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A training that was interrupted when it had already decided to stop does not go on."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch >= self.head_epochs:
            super().on_train_epoch_end(trainer, pl_module)


class EpochReport(Callback):
    """Hands every epoch's history row on; a callback, because averaging copies the module."""

    def __init__(self, on_epoch: Callable[[int, dict[str, float | int | str]], None]) -> None:
        self.on_epoch = on_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        row = getattr(pl_module, "history")[-1]  # noqa: B009
        self.on_epoch(int(row["epoch"]), row)


class PlainLines(Callback):
    """One line an epoch: all there is where no terminal draws a bar."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        row = getattr(pl_module, "history")[-1]  # noqa: B009
        log.info(
            "epoch %d/%s (%s): train loss %.4f, val loss %.4f, val macro-F1 %.4f",
            row["epoch"],
            trainer.max_epochs,
            row["phase"],
            row["train/loss"],
            row["val/loss"],
            row["val/macro_f1"],
        )


def signals_as_before(trainer: pl.Trainer) -> None:
    """Keep Lightning from listening to signals itself, with what was listening before.

    In a team it would talk to the other processes from inside the handler, in the middle of
    whatever they are saying, and ask all of them at every step whether one was told to end.
    """
    setattr(trainer._signal_connector, "register_signal_handlers", _nothing)  # noqa: B010
    setattr(trainer.fit_loop.epoch_loop, "_broadcast_sigterm_tensor", _nothing)  # noqa: B010


def _nothing() -> None:
    return None
