"""Batches: every cell, in an order of (seed, epoch), read straight from the store."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.wbc.stores import make_store
from wbc.batches import ShuffledSampler, train_loader, val_loader
from wbc.errors import UserError
from wbc.team import Team

ROOT = Path(__file__).parent.parent.parent


def test_order_is_a_matter_of_seed_and_epoch() -> None:
    orders = {}
    for seed, epoch in ((1, 0), (1, 1), (2, 0)):
        sampler = ShuffledSampler(50, seed)
        sampler.set_epoch(epoch)
        orders[seed, epoch] = list(sampler)
        assert list(sampler) == orders[seed, epoch]
        assert sorted(orders[seed, epoch]) == list(range(50))
    assert len({tuple(order) for order in orders.values()}) == 3


def test_training_sees_full_batches_and_validation_every_cell(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    train = list(train_loader(store.part("train"), 16, seed=1))
    assert [len(labels) for _, labels, _ in train] == [16, 16]  # of 40
    val = list(val_loader(store.part("val"), 16))
    assert np.concatenate([samples for *_, samples in val]).tolist() == list(range(20))


def test_pixels_and_labels_belong_together(tmp_path: Path) -> None:
    part = make_store(tmp_path).part("train")
    for pixels, labels, samples in train_loader(part, 8, seed=3):
        assert np.array_equal(pixels.numpy(), part.read(samples.tolist()))
        assert np.array_equal(labels.numpy(), part.labels[samples])


def test_a_team_sees_the_batches_of_one_process_slice_by_slice(tmp_path: Path) -> None:
    part = make_store(tmp_path).part("train")
    alone = [batch[2].tolist() for batch in train_loader(part, 16, seed=1)]
    slices = [
        [batch[2].tolist() for batch in train_loader(part, 16, 1, Team(rank, 2))]
        for rank in range(2)
    ]
    assert [a + b for a, b in zip(*slices, strict=True)] == alone


def test_a_team_validates_every_cell_once_where_it_cannot_share_evenly(tmp_path: Path) -> None:
    part = make_store(tmp_path).part("val")
    loaders = [val_loader(part, 6, Team(rank, 3)) for rank in range(3)]
    shares = [np.concatenate([samples for *_, samples in loader]).tolist() for loader in loaders]
    assert [len(share) for share in shares] == [6, 7, 7]
    assert sum(shares, []) == list(range(20))  # noqa: RUF017


def test_fewer_cells_than_processes_is_a_sentence(tmp_path: Path) -> None:
    part = make_store(tmp_path).part("val")
    for load in (
        lambda: val_loader(part, 32, Team(0, 21)),
        lambda: train_loader(part, 42, 1, Team(0, 21)),
    ):
        with pytest.raises(
            UserError, match=r"20 cells, too few for 21 processes; lower train\.pro"
        ):
            load()


def test_workers_that_read_ahead_bring_the_same(tmp_path: Path) -> None:
    part = make_store(tmp_path).part("train")
    plain, ahead = train_loader(part, 8, seed=1), train_loader(part, 8, seed=1, workers=2)
    for one, other in zip(plain, ahead, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_worker_ends_with_a_trainer_that_is_killed(tmp_path: Path) -> None:
    make_store(tmp_path)
    lines = [
        "import os, sys",
        "from pathlib import Path",
        "from wbc.batches import val_loader",
        "from wbc.pixels import open_store",
        f"part = open_store(Path({str(tmp_path)!r})).part('val')",
        "batches = iter(val_loader(part, 4, workers=1))",
        "next(batches)",
        "print(*(worker.pid for worker in batches._workers), flush=True)",
        "sys.stdin.read()",
    ]
    trainer = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert trainer.stdout
    worker = psutil.Process(int(trainer.stdout.readline()))
    worker.terminate()  # it leaves that to its trainer
    time.sleep(0.3)
    assert worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE
    trainer.kill()
    psutil.wait_procs([worker], timeout=3)  # by itself it would look after 5 s
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
