"""What the frozen layers make of every cell, computed once, so that an epoch is the rest only.

For each cell, K views: turned and mirrored (the first K of the square's eight symmetries) with one
draw of scale, shift and colour each. An epoch then draws a view instead of a fresh augmentation.
"""

import dataclasses
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from wbc import disk
from wbc.augment import NUM_DRAWS, augment, to_images, uniform_draws
from wbc.backbones import Network
from wbc.device import Device
from wbc.errors import UserError
from wbc.params import Augment
from wbc.pixels import PixelStore
from wbc.team import Team

log = logging.getLogger(__name__)

SECONDS_BETWEEN_NOTES: Final = 30.0  # of how far the pass has come


@dataclass(frozen=True)
class Features:
    """A part of the store as features; row i * views + v is view v of cell i."""

    labels: NDArray[np.int64]
    views: int
    values: NDArray[np.float16]  # (cells * views, H, W, C) or (cells * views, C), memory-mapped

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, rows: NDArray[np.int64] | list[int]) -> NDArray[np.float16]:
        """The features of these rows, channels last."""
        return self.values[rows]


@dataclass(frozen=True)
class Views:
    """`count` views of each cell; without settings the cells are taken as they are."""

    count: int
    seed: int = 0
    settings: Augment | None = None

    def __call__(self, images: Tensor, view: int, samples: NDArray[np.int64]) -> Tensor:
        """View `view` of images (N, 3, S, S) of the cells numbered `samples`."""
        if self.settings is None:
            return images
        settings = dataclasses.replace(self.settings, flips=False, rotation=0.0)
        draws = uniform_draws(self.seed, view, samples, NUM_DRAWS)
        images = augment(images, draws, settings)
        if self.settings.flips:
            images = images.flip(3) if view % 2 else images
            images = torch.rot90(images, view // 2, (2, 3))
        return images


@dataclass(frozen=True)
class Trunk:
    """The layers that are cached: a network whose upper layers are unfrozen, and where it runs."""

    network: Network
    device: Device
    team: Team

    @property
    def place(self) -> torch.device:
        return torch.device(self.device.type, self.team.local_rank)

    def __call__(self, images: Tensor) -> Tensor:
        half = self.device.precision != "32-true"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            return self.network.frozen(images)


def cached(trunk: Trunk, part: PixelStore, views: Views, path: Path, batch_size: int) -> Features:
    """The part's features at `path`; a file that is there was finished by an earlier start.

    All processes of the team compute their share into one file. A pass that was interrupted goes
    on where it was noted last.

    Raises:
        UserError: a feature is too large for half precision.
        OSError: the disk is full.
    """
    if not trunk.team.all_see(path):
        unfinished = path.with_suffix(".part")
        if trunk.team.leads and not unfinished.is_file():
            _allocate(trunk, part, views, unfinished)
        trunk.team.wait()
        _fill(trunk, part, views, unfinished, batch_size)
        trunk.team.wait()
        if trunk.team.leads:
            unfinished.replace(path)
        trunk.team.wait()
    return Features(part.labels, views.count, np.load(path, mmap_mode="r"))


@torch.no_grad()
def _allocate(trunk: Trunk, part: PixelStore, views: Views, path: Path) -> None:
    """A file of all rows, which has its name only once it has all its room."""
    one = trunk(to_images(torch.from_numpy(part.read([0])).to(trunk.place)))[0]
    rows = len(part) * views.count
    log.info("caching frozen layers' features in %s: %.3g GB", path, 2 * rows * one.numel() / 1e9)
    layout = (rows, *one.shape[1:], one.shape[0])
    for note in path.parent.glob(f"{path.stem}.*.next"):  # of a file that is gone
        note.unlink()
    new = path.with_suffix(".new")
    open_memmap(new, mode="w+", dtype=np.float16, shape=layout)
    disk.reserve(new)
    with new.open("r+b") as file:
        os.fsync(file.fileno())  # else a power cut could keep the name without numpy's header
    new.replace(path)


@torch.no_grad()
def _fill(trunk: Trunk, part: PixelStore, views: Views, path: Path, batch_size: int) -> None:
    """As wbc.pixels writes: the shares of several machines meet inside a page.

    Now and then the first cell that is not yet on the disk is noted in a file beside it.
    """
    own = trunk.team.rows(len(part))
    note = path.with_suffix(f".{trunk.team.rank}.next")
    first = int(note.read_text(encoding="ascii")) if note.is_file() else own.start
    if first > own.start:
        log.info("continuing to cache features after %d cells", first - own.start)
    starts = range(first, own.stop, batch_size)
    with os.fdopen(os.open(path, os.O_WRONLY), "wb", buffering=0) as file:
        noted = time.monotonic()
        for start in tqdm(starts, desc="features", unit="batch", disable=None):
            samples = np.arange(start, min(start + batch_size, own.stop))
            values = _of_all_views(trunk, part, views, samples)
            each = values[0].nbytes  # of one cell, all views
            header = path.stat().st_size - len(part) * each
            _write_all(file.fileno(), values.tobytes(), header + start * each)
            if time.monotonic() - noted >= SECONDS_BETWEEN_NOTES:
                os.fsync(file.fileno())
                disk.write_whole(note, str(start + len(samples)).encode("ascii"))
                noted = time.monotonic()
        os.fsync(file.fileno())  # else a power cut could keep the finished name without the bytes


def _write_all(file: int, data: bytes, offset: int) -> None:
    """One pwrite(2) takes 2 GiB at most, and less where a disk fills up."""
    left = memoryview(data)
    while left:
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written


def _of_all_views(
    trunk: Trunk, part: PixelStore, views: Views, samples: NDArray[np.int64]
) -> NDArray[np.float16]:
    """(N, views, H, W, C) or (N, views, C)."""
    pixels = torch.from_numpy(part.read(samples)).to(trunk.place)
    rows = []
    for view in range(views.count):
        features = trunk(views(to_images(pixels), view, samples)).half()
        _refuse_what_is_too_large(features)
        rows.append(features.movedim(1, -1).cpu().numpy())
    return np.stack(rows, axis=1)


def _refuse_what_is_too_large(features: Tensor) -> None:
    if not bool(torch.isfinite(features).all()):
        raise UserError(
            "A feature of the frozen layers was expected to fit half precision, but is larger than"
            " 65504 or no number; set train.cache_views: 0, or check model.weights."
        )
