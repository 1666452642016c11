"""The pixel store: every cell decoded once, as uint8 in memory-mapped shards with an index.

A store is a folder: `shard-00000.npy`, ... of shape (cells, size, size, 3), `index.csv` with one
row a cell (shard, row, located and the columns of split.csv), and `store.json`.
"""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from wbc import disk
from wbc.cells import CLASSES, read_table, write_table
from wbc.errors import UserError, not_as_written, not_there, one_line, shown
from wbc.written import read_json

Pixels = NDArray[np.uint8]
Place = tuple[int, int]  # shard, row


def shard_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.npy"


def allocate(folder: Path, num_cells: int, size: int, shard_cells: int) -> list[Place]:
    """Create empty shards for `num_cells` squares; the place of each, in order.

    Raises:
        UserError: there is no room for all of them on the disk; none of them is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = [divmod(i, shard_cells) for i in range(num_cells)]
    for shard in range(-(-num_cells // shard_cells)):
        rows = min(shard_cells, num_cells - shard * shard_cells)
        shape = (rows, size, size, 3)
        _create(shard_path(folder, shard), shape, num_cells * size * size * 3)
    return places


def _create(path: Path, shape: tuple[int, ...], num_bytes_in_all: int) -> None:
    try:
        open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        disk.reserve(path)
    except OSError as error:
        if not disk.is_full(error):
            raise
        for shard in path.parent.glob("shard-*.npy"):
            shard.unlink()
        free = shutil.disk_usage(path.parent).free
        raise UserError(
            f"{path.parent} needs {num_bytes_in_all / 1e9:.3g} GB for the cells, but"
            f" {free / 1e9:.3g} GB are free there, or a quota is used up; make room"
            " (`python -m wbc clean` removes what nobody needs), or lower preprocess.input_size,"
            " and run the same command again."
        ) from None


def write_cells(folder: Path, cells: Iterable[tuple[Place, Pixels]]) -> None:
    """Write squares to their places; several processes and machines may write to one store at once.

    Only the squares' own bytes are touched, by write(2): with a memory map, or after reading, a
    machine on a network file system sends whole pages back, and neighbouring cells share a page.
    """
    with contextlib.ExitStack() as stack:
        files: dict[int, BinaryIO] = {}
        for (shard, row), pixels in cells:
            if shard not in files:
                descriptor = os.open(shard_path(folder, shard), os.O_WRONLY)
                files[shard] = stack.enter_context(os.fdopen(descriptor, "wb"))
            num_bytes = os.fstat(files[shard].fileno()).st_size
            header = num_bytes % pixels.nbytes  # all the rest are squares of this size
            files[shard].seek(header + row * pixels.nbytes)
            files[shard].write(pixels.tobytes())


def finish(folder: Path, index: pd.DataFrame, settings: dict[str, Any]) -> str:
    """Write the index and store.json; the SHA-256 over index and shards, which names the store.

    Places without a row in `index` (quarantined files) stay zero and are never read.
    """
    write_table(index, folder / "index.csv")
    digest = hashlib.sha256((folder / "index.csv").read_bytes())
    for path in sorted(folder.glob("shard-*.npy")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    store = {**settings, "num_cells": len(index), "sha256": digest.hexdigest()}
    text = json.dumps(store, indent=2, sort_keys=True)
    (folder / "store.json").write_text(text + "\n", encoding="utf-8")
    return digest.hexdigest()


@dataclass(frozen=True)
class PixelStore:
    """A finished store, opened for reading. `table` is the index, or a part of it."""

    folder: Path
    table: pd.DataFrame
    settings: dict[str, Any]
    shards: tuple[Pixels, ...]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def views(self) -> int:
        """Rows a cell, as cached features (wbc.features) have several."""
        return 1

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class indices into CLASSES, one a row."""
        positions = {name: i for i, name in enumerate(CLASSES)}
        return np.array([positions[label] for label in self.table["label"]], dtype=np.int64)

    def part(self, split: str) -> "PixelStore":
        """The rows of one split or evaluation set."""
        rows = self.table[self.table["split"] == split].reset_index(drop=True)
        return PixelStore(self.folder, rows, self.settings, self.shards)

    def evaluation_sets(self) -> list[str]:
        """val first, then the tests, then external sources, each in alphabetical order."""
        first = ("val", "test", "test_a", "test_b")
        names = set(self.table["split"]) - {"train"}
        return [n for n in first if n in names] + sorted(names - set(first))

    def read(self, rows: NDArray[np.int64] | list[int]) -> Pixels:
        """The squares of these rows, (N, size, size, 3)."""
        shard, row = self._places
        size = int(self.settings["size"])
        out = np.empty((len(rows), size, size, 3), dtype=np.uint8)
        for index in rows:
            _will_need(self.shards[shard[index]], int(row[index]))
        for position, index in enumerate(rows):
            out[position] = self.shards[shard[index]][row[index]]
        return out

    def batches(self, batch_size: int) -> Iterator[Pixels]:
        """All squares in order."""
        for start in range(0, len(self), batch_size):
            yield self.read(list(range(start, min(start + batch_size, len(self)))))

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.table["shard"].to_numpy(np.int64), self.table["row"].to_numpy(np.int64)


def _will_need(shard: Pixels, row: int) -> None:
    """Have a square read from the disk while others are, not piece by piece when it is touched.

    Four times as fast where the store does not fit into memory (benchmarks/memory.py).
    """
    mapped: object = shard.base
    if isinstance(shard, np.memmap) and isinstance(mapped, mmap.mmap):
        mapped.madvise(mmap.MADV_WILLNEED, *pages(shard.offset, shard.strides[0], row))


def pages(offset: int, stride: int, row: int) -> tuple[int, int]:
    """Start and length, within the map, of the pages that hold a row.

    Args:
        offset: of the first row in the file; the map starts at the page that holds it.
        stride: bytes of a row.
    """
    start = offset % mmap.ALLOCATIONGRANULARITY + row * stride
    page = start // mmap.PAGESIZE * mmap.PAGESIZE
    return page, start + stride - page


def evaluation_set_sha256(rows: pd.DataFrame) -> str:
    """Name of an evaluation set: SHA-256 over its cells' sha256 and label, in sorted order.

    Not over pixels, so that models with other preprocessing can be compared on the same set.
    """
    cells = sorted(
        f"{sha256} {label}\n" for sha256, label in zip(rows["sha256"], rows["label"], strict=True)
    )
    return hashlib.sha256("".join(cells).encode()).hexdigest()


def open_store(folder: Path) -> PixelStore:
    """Open a finished store for reading.

    Raises:
        UserError: there is none, or a file of it is not as it was written.
    """
    settings = read_json(folder / "store.json", ("size", "num_cells", "sha256"))
    index = read_table(folder / "index.csv", ("path", "label", "split", "shard", "row"))
    num_shards = len(list(folder.glob("shard-*.npy")))
    shards = tuple(_open_shard(shard_path(folder, i), settings["size"]) for i in range(num_shards))
    _check_index(folder / "index.csv", index, settings["num_cells"], [len(each) for each in shards])
    return PixelStore(folder, index, settings, shards)


def _open_shard(path: Path, size: Any) -> Pixels:
    try:
        shard: Pixels = open_memmap(path, mode="r")
    except FileNotFoundError:  # one between the others
        raise not_there(path) from None
    except (ValueError, TypeError, OverflowError) as error:
        found = f"cannot be read ({one_line(error, 120)})"
        raise not_as_written(path, found, "a shard of squares") from None
    if shard.dtype != np.uint8 or shard.shape[1:] != (size, size, 3):
        found = f"holds {shard.dtype} of shape {shard.shape} and no squares of {shown(size)} pixels"
        raise not_as_written(path, found, "a shard of squares")
    return shard


def _check_index(path: Path, index: pd.DataFrame, num_cells: Any, rows: Sequence[int]) -> None:
    """Raises UserError unless the index has all cells, each at a place that is there.

    rows: of each shard.
    """
    if len(index) != num_cells:
        raise not_as_written(
            path, f"has {len(index):,} cells, where store.json counts {shown(num_cells)}"
        )
    places = [pd.to_numeric(index[name], errors="coerce") for name in ("shard", "row")]
    room = places[0].map(dict(enumerate(rows)))
    lost = index[~((places[1] >= 0) & (places[1] < room))]
    if len(lost):
        first = lost.iloc[0]
        raise not_as_written(
            path, f"names row {first['row']} of shard {first['shard']}, which is not there"
        )
