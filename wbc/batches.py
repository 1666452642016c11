"""Batches of cells from the pixel store, in an order that depends on (seed, epoch) only."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from wbc.pixels import PixelStore

Batch = tuple[Tensor, Tensor, Tensor]  # pixels (N, S, S, 3) uint8, labels (N,), samples (N,)


def train_loader(part: PixelStore, batch_size: int, seed: int) -> DataLoader[Batch]:
    """Full batches in another order every epoch; a last, smaller one is left out."""
    return _loader(part, batch_size, ShuffledSampler(len(part), seed))


def val_loader(part: PixelStore, batch_size: int) -> DataLoader[Batch]:
    """All cells in order."""
    return _loader(part, batch_size, None)


class ShuffledSampler(Sampler[int]):
    """Another order every epoch, from (seed, epoch) only; Lightning calls `set_epoch`."""

    def __init__(self, num_samples: int, seed: int) -> None:
        self.num_samples, self.seed, self.epoch = num_samples, seed, 0
        self.first = 0  # samples that the next epoch leaves out, because it had been interrupted

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.num_samples)
        first, self.first = self.first, 0
        return iter(order[first:].tolist())


class _Cells(Dataset[Batch]):
    """Reads a whole batch from the memory map at once."""

    def __init__(self, part: PixelStore) -> None:
        self.part, self.labels = part, torch.from_numpy(part.labels)

    def __len__(self) -> int:
        return len(self.part)

    def __getitems__(self, rows: list[int]) -> Batch:
        samples = torch.tensor(rows)
        return torch.from_numpy(self.part.read(rows)), self.labels[samples], samples


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
