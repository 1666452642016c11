"""What a training leaves on the disk while it runs: one file, whole, that it can go on from."""

import contextlib
import io
import pickle
import shlex
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor
from torch.utils.data import DataLoader

from wbc.disk import write_whole
from wbc.errors import UserError, one_line
from wbc.processes import waiting
from wbc.team import ALONE, Team, is_broken_connection

# What a process asks of all at a step, if not by the number of the signal that it has heard.
_GO_ON: Final = -1
_SAVE: Final = 0


class WholeFiles(TorchCheckpointIO):
    """Writes beside the old file and renames; reads what is as it was written.

    Lightning's own way writes to the folder for temporary files; where that is another file system
    its last move is a copy, and a process that is killed meanwhile leaves half a checkpoint. torch
    does not look at the checksums that it writes.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        """As torch loads it, and never as a pickle, which could run anything.

        Raises:
            UserError: the file is damaged, or holds more than a training writes.
        """
        if damage := _damage(Path(path)):
            raise _damaged(path, damage)
        try:
            return super().load_checkpoint(path, *arguments, **options | {"weights_only": True})
        except pickle.UnpicklingError:
            raise _damaged(path, "it holds what no training wrote") from None


class SaveLast(Checkpoint):
    """A checkpoint at the end of every epoch; within one every few minutes and before an end.

    The processes of a team tell each other at every step whether one of them is to save or to end,
    and all do. Lightning calls a `Checkpoint` after all other callbacks.
    """

    def __init__(
        self, path: Path, loader: DataLoader[Any], team: Team = ALONE, seconds: float = 600
    ) -> None:
        self.path, self.loader, self.team, self.seconds = path, loader, team, seconds
        self._saved = time.monotonic()
        self._shared = 0  # batches of a validation that every process has
        self._every = 1  # so many steps from one question to the next

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
        if self.team.size > 1 and pl_module.device.type == "cuda":
            self._every = 16  # an answer costs the time in which the next steps would be prepared
        waiting.allowed, waiting.patient = True, self.team.size > 1
        self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_batch: Any
    ) -> None:
        progress = trainer.fit_loop.epoch_loop.batch_progress
        waited = time.monotonic() - self._saved
        left = int(trainer.num_training_batches) - progress.current.ready
        if not left or (left > 1 and progress.current.ready % self._every):
            return
        # Before the last step even soon after: validation, in which nothing can be saved, follows.
        limit = self.seconds / 10 if left == 1 else self.seconds
        asked = self.team.largest(waiting.number or (_SAVE if waited > limit else _GO_ON))
        if asked != _GO_ON:
            if pl_module.is_sound():  # type: ignore[operator]  # else the last good one stays
                self._save(trainer)
            waiting.obey(asked)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._shared = -self.team.largest(-int(trainer.num_val_batches[0]))

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        *_which: int,
    ) -> None:
        # Without saving: Lightning cannot go on from within a validation.
        if batch_idx < self._shared and batch_idx % self._every == 0:
            waiting.obey(self.team.largest(waiting.number))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)
        waiting.obey(self.team.largest(waiting.number))

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        waiting.allowed = False
        if is_broken_connection(exception):  # the other one has ended of a signal to both, probably
            waiting.obey(waiting.number)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        waiting.allowed = False
        waiting.obey(self.team.largest(waiting.number))

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()


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


def _damage(path: Path) -> str:
    """What is wrong with a file that torch.save wrote, an archive with checksums; "" if nothing."""
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                wrong = archive.testzip()
        except MemoryError:
            raise
        except Exception as error:  # bits that changed make zipfile raise a dozen kinds
            return one_line(error)
    return f"{wrong} has another checksum" if wrong else ""


def _damaged(path: Any, damage: str) -> UserError:
    return UserError(
        f"The checkpoint {path}, from which the interrupted training should go on, is damaged"
        f" ({damage}); remove it (rm {shlex.quote(str(path))}) and run the same command again: the"
        " training begins anew."
    )


@contextlib.contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """Ctrl-C comes out of Lightning as KeyboardInterrupt; it makes a SystemExit(1) of it."""
    try:
        yield
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from ended
        raise
