"""What a training leaves on the disk while it runs: one file, whole, that it can go on from."""

import contextlib
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor
from torch.utils.data import DataLoader

from wbc.disk import write_whole
from wbc.processes import waiting


class WholeFiles(TorchCheckpointIO):
    """Writes beside the old file and renames.

    Lightning's own way writes to the folder for temporary files; where that is another file system
    its last move is a copy, and a process that is killed meanwhile leaves half a checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())


class SaveLast(Checkpoint):
    """A checkpoint at the end of every epoch; within one every few minutes and before an end.

    Within an epoch only where one process trains: several would have to agree on a step. Lightning
    calls a `Checkpoint` after all other callbacks.
    """

    def __init__(self, path: Path, loader: DataLoader[Any], seconds: float = 600) -> None:
        self.path, self.loader, self.seconds = path, loader, seconds
        self._saved = time.monotonic()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """The loader's first epoch begins where the checkpoint ended.

        Also where that is an epoch's beginning: workers begin to read before Lightning tells the
        sampler which epoch it is.
        """
        sampler: Any = self.loader.sampler
        sampler.set_epoch(len(checkpoint["history"]))
        sampler.first = checkpoint["num_steps"] * (self.loader.batch_size or 1)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        steps = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        per_epoch = int(trainer.num_training_batches)
        checkpoint["num_steps"] = steps % per_epoch  # of an unfinished epoch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        waiting.allowed = trainer.world_size == 1
        self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_batch: Any
    ) -> None:
        progress = trainer.fit_loop.epoch_loop.batch_progress
        waited = time.monotonic() - self._saved
        left = int(trainer.num_training_batches) - progress.current.ready
        # Before the last step even soon after: validation, in which nothing can be saved, follows.
        limit = self.seconds / 10 if left == 1 else self.seconds
        if left and (waiting.number or waited > limit) and trainer.world_size == 1:
            self._save(trainer)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_batch: Any
    ) -> None:
        waiting.obey()  # without saving: Lightning cannot go on from within a validation

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        waiting.allowed = False

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        waiting.allowed = False
        waiting.obey()

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()
        waiting.obey()


class BestWeights(Callback):
    """The module's weights after its best epoch, in memory and in every checkpoint.

    In the same file as the training's state: of two files one could be missing, or of another
    epoch, after a kill between them. Comes before the callback that averages weights, so that it
    sees the averaged ones that are validated.
    """

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}
        self._validated: dict[str, Tensor] = {}

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in pl_module.state_dict().items()
        }

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if pl_module.last_is_best():  # type: ignore[operator]
            self.weights = self._validated
        self._validated = {}

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.weights = state_dict["weights"]


@contextlib.contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """Ctrl-C comes out of Lightning as KeyboardInterrupt; it makes a SystemExit(1) of it."""
    try:
        yield
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from ended
        raise
