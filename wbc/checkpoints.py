"""What a training leaves on the disk while it runs: one file, whole, that it can go on from."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor

from wbc.disk import write_whole


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
    """A checkpoint at the end of every epoch; Lightning calls a `Checkpoint` after all others."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.path)


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
