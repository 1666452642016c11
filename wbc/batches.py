"""Batches of cells from the pixel store, in an order that depends on (seed, epoch) only."""

import ctypes
import signal
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from wbc.errors import UserError
from wbc.features import Features
from wbc.pixels import PixelStore
from wbc.resident import Resident
from wbc.team import ALONE, Team

# Pixels (N, S, S, 3) uint8 or features (N, H, W, C) float16; labels (N,); samples (N,), no tensor,
# because a team's tensors are all moved to the GPU.
Batch = tuple[Tensor, Tensor, NDArray[np.int64]]
Part = PixelStore | Features | Resident


def train_loader(
    part: Part, batch_size: int, seed: int, team: Team = ALONE, workers: int = 0
) -> DataLoader[Batch]:
    """Full batches in another order every epoch; a last, smaller one is left out.

    `batch_size` is the whole team's; each process gets an equal part of every batch.

    Raises:
        UserError: there are fewer cells than processes.
    """
    _refuse_too_few(part, team, "train")
    own = min(batch_size, len(part)) // team.size
    sampler = ShuffledSampler(len(part), seed, own * team.size, team, part.views)
    return _loader(part, own, sampler, drop_last=True, workers=workers)


def val_loader(
    part: Part, batch_size: int, team: Team = ALONE, workers: int = 0
) -> DataLoader[Batch]:
    """The process's share of all cells in order, each cell in one share, none twice.

    Raises:
        UserError: there are fewer cells than processes.
    """
    _refuse_too_few(part, team, "val")
    own = min(batch_size, len(part)) // team.size
    return _loader(part, own, team.rows(len(part)), drop_last=False, workers=workers)


class ShuffledSampler(Sampler[int]):
    """Another order every epoch, from (seed, epoch) only; Lightning calls `set_epoch`.

    A process of a team gets its slice of every batch: together the slices are the batch that a
    single process would see. Of cached features the rows of views are drawn, one a sample.
    """

    def __init__(
        self,
        num_samples: int,
        seed: int,
        batch_size: int = 1,
        team: Team = ALONE,
        views: int = 1,
    ) -> None:
        self.num_samples, self.seed, self.epoch = num_samples, seed, 0
        self.batch_size, self.team, self.views = batch_size, team, views
        self.first = 0  # samples that the next epoch leaves out, because it had been interrupted

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples // self.batch_size * len(self.team.rows(self.batch_size))

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(self.num_samples)
        if self.views > 1:
            order = order * self.views + random.integers(self.views, size=self.num_samples)
        full = self.num_samples // self.batch_size * self.batch_size
        mine = self.team.rows(self.batch_size)
        batches = order[:full].reshape(-1, self.batch_size)
        first, self.first = self.first, 0
        return iter(batches[:, mine.start : mine.stop].ravel()[first:].tolist())


class _Cells(Dataset[Batch]):
    """Reads a whole batch from the memory map at once."""

    def __init__(self, part: Part) -> None:
        self.part, self.labels = part, torch.from_numpy(part.labels)

    def __len__(self) -> int:
        return len(self.part) * self.part.views

    def __getitems__(self, rows: list[int]) -> Batch:
        samples = np.asarray(rows) // self.part.views
        labels = self.labels[torch.from_numpy(samples)]
        return torch.as_tensor(self.part.read(rows)), labels, samples


def _loader(
    part: Part,
    batch_size: int,
    order: Sampler[int] | range,
    drop_last: bool,
    workers: int,
) -> DataLoader[Batch]:
    """Whole batches; the order is this process's, so the number of workers changes nothing."""
    options: dict[str, Any] = {}
    if workers and not isinstance(part, Resident):  # what lies on the device needs no reading ahead
        # Forked, because a memory map that is sent to a new process would be read in whole.
        options = {"multiprocessing_context": "fork", "worker_init_fn": _serve}
        options |= {"num_workers": workers, "persistent_workers": True}
    return DataLoader(
        _Cells(part),
        batch_size=batch_size,
        sampler=order,
        drop_last=drop_last,
        collate_fn=_as_is,
        **options,
    )


def _serve(_worker: int) -> None:
    """A worker leaves signals to its trainer, and ends with it at once, even after SIGKILL.

    A worker that obeyed a SIGTERM to all would make the trainer fail before it could save.
    """
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _refuse_too_few(part: Part, team: Team, name: str) -> None:
    if len(part) < team.size:
        raise UserError(
            f"The {name} part has {len(part)} cells, too few for {team.size} processes; lower"
            " train.processes."
        )


def _as_is(batch: Any) -> Any:
    return batch
