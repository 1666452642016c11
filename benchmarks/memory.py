"""A store larger than memory: one pass over it, and training steps on it, within a memory limit.

    python -m benchmarks.memory FOLDER [--gigabytes 20] [--limit 2.5] [--steps 200]

Writes a store of random pixels (224 x 224) to FOLDER, unless one of that size lies there already,
and removes it afterwards unless `--keep`. Exit status 1 if RssAnon passes 2 GB or the limit
(of a control group, where one may be made) ends the run.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.cgroup import limited, measure
from wbc.cells import CLASSES
from wbc.pixels import allocate, finish, open_store, shard_path

SIZE, SHARD_CELLS, NUM_VAL = 224, 1024, 512
ANONYMOUS_LIMIT = 2_000_000_000
ROOT = Path(__file__).resolve().parents[1]


def write_store(folder: Path, num_cells: int) -> None:
    """Random pixels, no two cells alike, as fast as the disk takes them."""
    places = allocate(folder, num_cells, SIZE, SHARD_CELLS)
    noise = np.random.default_rng(1).integers(0, 256, 2 * SIZE * SIZE * 3, dtype=np.uint8)
    for shard in range(places[-1][0] + 1):
        pixels = np.load(shard_path(folder, shard), mmap_mode="r+")
        for row, cell in enumerate(pixels):
            first = (shard * 7919 + row * 104729) % (SIZE * SIZE * 3)
            cell[:] = noise[first : first + cell.size].reshape(cell.shape)
            cell[0, 0] = (row % 251, shard % 251, row // 251)
        pixels.flush()
        del pixels
        forget(shard_path(folder, shard))
    finish(folder, _index(places), {"size": SIZE, "crop": "none", "context": 1.5})


def forget(path: Path) -> None:
    """Take the file out of the page cache, which would be another group's to pay for."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _index(places: list[tuple[int, int]]) -> pd.DataFrame:
    numbers = range(len(places))
    return pd.DataFrame(
        {
            "path": [f"laboratory/smear-{i % 997:04d}/cell-{i:07d}.jpg" for i in numbers],
            "sha256": [f"{i:064x}" for i in numbers],
            "label": [CLASSES[i % len(CLASSES)] for i in numbers],
            "group": [f"smear-{i % 997:04d}" for i in numbers],
            "source": "laboratory",
            "split": ["val" if i < NUM_VAL else "train" for i in numbers],
            "shard": [shard for shard, _ in places],
            "row": [row for _, row in places],
            "located": True,
        }
    )


def one_pass(folder: Path, _num_steps: int) -> None:
    """Every cell of the train part once, shuffled, as an epoch reads them."""
    from wbc.batches import train_loader

    part = open_store(folder).part("train")
    start, num_bytes, total = time.perf_counter(), 0, 0
    for pixels, _, _ in train_loader(part, 64, 1):
        num_bytes += pixels.numel()
        total += int(pixels[:, 0, 0].sum())
    rate = num_bytes / (time.perf_counter() - start) / 1e6
    print(f"read {num_bytes / 1e9:.1f} GB, {rate:.0f} MB/s, {total} in the corners")


def steps(folder: Path, num_steps: int) -> None:
    """`wbc.training.fit` itself, with Lightning told to end the epoch after `num_steps`."""
    import dataclasses
    import functools
    import tempfile

    import lightning.pytorch as pl

    from wbc import device, params, training
    from wbc.backbones import Network
    from wbc.plan import make_plan

    loaded = params.load(ROOT / "params.yaml")
    chosen = dataclasses.replace(loaded.train, epochs=1, head_epochs=0, device="cpu")
    store = open_store(folder)
    plan = make_plan(chosen, loaded.seed, True, store.part("train").labels)
    training.seed_everything(loaded.seed)
    network = Network("mobilenet_v2", 0.2, frozen_batch_norm=True)
    trainer: Any = functools.partial(pl.Trainer, limit_train_batches=num_steps)
    pl.Trainer = trainer  # type: ignore[misc]  # which wbc.training takes from the same module
    cpu = device.pick("cpu", "auto", loaded.train.threads)
    with tempfile.TemporaryDirectory() as scratch:
        outcome = training.fit(network, store, plan, cpu, Path(scratch), lambda *_: None)
    print(f"{num_steps} steps, train loss {outcome.history[0]['train/loss']}")


PARTS: dict[str, Callable[[Path, int], None]] = {"pass": one_pass, "steps": steps}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.memory")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=20, help="of pixels")
    parser.add_argument("--limit", type=float, default=2.5, help="GB, of the control group")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--keep", action="store_true", help="keep the store for another time")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # what a child does
    options = parser.parse_args()
    folder = options.folder.absolute() / "store"
    if options.part:
        PARTS[options.part](folder, options.steps)
        return
    num_cells = int(options.gigabytes * 1e9 / (SIZE * SIZE * 3))
    try:
        sys.exit(0 if _measure_all(folder, num_cells, options) else 1)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _measure_all(folder: Path, num_cells: int, options: argparse.Namespace) -> bool:
    if not (folder / "store.json").exists():
        start = time.perf_counter()
        write_store(folder, num_cells)
        print(f"{num_cells} cells written in {time.perf_counter() - start:.0f} s", flush=True)
    good = True
    for part in PARTS:
        for shard in folder.glob("shard-*.npy"):
            forget(shard)
        command = [sys.executable, "-m", "benchmarks.memory", str(options.folder.absolute())]
        with limited(int(options.limit * 1e9)) as group:
            peak = measure([*command, "--part", part, "--steps", str(options.steps)], group)
        in_group = "not limited" if peak.group is None else f"{peak.group / 1e9:.2f} GB with cache"
        print(
            f"{part}: status {peak.status}, {peak.seconds:.0f} s, RssAnon peak"
            f" {peak.anonymous / 1e9:.2f} GB, control group {in_group}\n  "
            + peak.output.strip().replace("\n", "\n  "),
            flush=True,
        )
        good &= peak.status == 0 and peak.anonymous < ANONYMOUS_LIMIT
    return good


if __name__ == "__main__":
    main()
