"""Batches: every cell, in an order of (seed, epoch), read straight from the store."""

from pathlib import Path

import numpy as np
import torch

from tests.wbc.stores import make_store
from wbc.batches import ShuffledSampler, train_loader, val_loader


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
    assert torch.cat([samples for *_, samples in val]).tolist() == list(range(20))


def test_pixels_and_labels_belong_together(tmp_path: Path) -> None:
    part = make_store(tmp_path).part("train")
    for pixels, labels, samples in train_loader(part, 8, seed=3):
        assert np.array_equal(pixels.numpy(), part.read(samples.tolist()))
        assert np.array_equal(labels.numpy(), part.labels[samples.numpy()])
