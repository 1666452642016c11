"""A part of the store, or of its cached features, held in a GPU's memory: no copy at any step."""

import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wbc.device import send
from wbc.features import Features
from wbc.pixels import PixelStore

log = logging.getLogger(__name__)

SHARE = 0.5  # of the memory that is free; the rest is for the network and its activations
CHUNK = 256  # rows that are copied at once


@dataclass(frozen=True)
class Resident:
    """Reads as the part does that it was made from, but as a tensor on the device."""

    labels: NDArray[np.int64]
    views: int
    values: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, rows: NDArray[np.int64] | list[int]) -> Tensor:
        """The pixels or features of these rows; nothing waits for the device."""
        return self.values[send(torch.as_tensor(rows), self.values.device)]


def in_device_memory(
    parts: Sequence[PixelStore | Features], device: torch.device
) -> list[PixelStore | Features | Resident]:
    """The parts on a GPU, where all of them fit into SHARE of what is free there; else as given."""
    if device.type != "cuda":
        return list(parts)
    size = sum(len(part) * part.views * part.read([0]).nbytes for part in parts)
    gc.collect()  # a training before this one leaves its cells in a cycle of references
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    if size > SHARE * free:
        sizes = size / 1e9, free / 1e9
        log.info("%.3g GB of cells stay on the disk: over half of the GPU's free %.3g GB", *sizes)
        return list(parts)
    return [bring(part, device) for part in parts]


def bring(part: PixelStore | Features, device: torch.device) -> Resident:
    """Copy a part to the device, a few rows at a time."""
    rows = len(part) * part.views
    first = torch.from_numpy(part.read([0]))
    values = torch.empty((rows, *first.shape[1:]), dtype=first.dtype, device=device)
    for start in range(0, rows, CHUNK):
        chunk = list(range(start, min(start + CHUNK, rows)))
        values[start : start + CHUNK] = torch.from_numpy(part.read(chunk)).to(device)
    return Resident(part.labels, part.views, values)
