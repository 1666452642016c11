"""Cells in a device's memory: read as from the disk, and trained on to the same bytes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.wbc.stores import make_store
from tests.wbc.test_augment import NOTHING
from tests.wbc.test_features import run, trunk
from tests.wbc.test_training import settings
from wbc import resident, training
from wbc.batches import Part
from wbc.features import Features, Views, cached
from wbc.pixels import PixelStore

CPU = torch.device("cpu")


def test_rows_are_the_parts_own(tmp_path: Path) -> None:
    part = make_store(tmp_path / "pixels").part("train")
    features = cached(trunk(), part, Views(2, settings=NOTHING), tmp_path / "f.npy", 8)
    for source in (part, features):
        brought = resident.bring(source, CPU)
        rows = [len(part) * source.views - 1, 0, 5]
        assert np.array_equal(brought.read(rows).numpy(), source.read(rows))
        assert len(brought) == len(part) and brought.views == source.views


@pytest.mark.parametrize("views", [0, 2])
def test_training_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, views: int
) -> None:
    store = make_store(tmp_path / "pixels")
    chosen = settings(epochs=2, head_epochs=1, cache_views=views, loader_workers=2)
    expected, _ = run(tmp_path / "disk", store, chosen)

    def brought(parts: Sequence[PixelStore | Features], device: torch.device) -> list[Part]:
        return [resident.bring(part, device) for part in parts]

    monkeypatch.setattr(training, "in_device_memory", brought)
    found, _ = run(tmp_path / "memory", store, chosen)
    state = expected.network.state_dict()
    for name, tensor in found.network.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_only_what_fits_is_brought_and_only_to_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_store(tmp_path / "pixels").part("train")
    assert resident.in_device_memory([part], CPU) == [part]
    size = len(part) * part.read([0]).nbytes
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(resident, "bring", lambda source, device: (source, device))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * size, 10 * size))
    assert resident.in_device_memory([part], gpu) == [(part, gpu)]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * size - 1, 10 * size))
    assert resident.in_device_memory([part], gpu) == [part]
