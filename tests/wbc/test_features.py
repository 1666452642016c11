"""Cached features: what the frozen layers give, view by view; a training that hardly differs."""

import dataclasses
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.wbc.stores import make_store
from tests.wbc.test_augment import NOTHING
from tests.wbc.test_training import settings
from wbc import device, features, params, training
from wbc.architectures import ARCHITECTURES
from wbc.augment import to_images
from wbc.backbones import Network, Unfreeze
from wbc.errors import UserError
from wbc.features import Trunk, Views, cached
from wbc.pixels import PixelStore
from wbc.plan import Plan, make_plan
from wbc.team import ALONE, Team


def trunk(name: str = "squeezenet1_1") -> Trunk:
    torch.manual_seed(0)
    network = Network(name, 0.0, frozen_batch_norm=True)
    network.unfreeze("upper")
    return Trunk(
        network.to(memory_format=torch.channels_last), device.pick("cpu", "auto", 1), ALONE
    )


def run(folder: Path, store: PixelStore, chosen: params.Params) -> tuple[training.Outcome, Plan]:
    plan = make_plan(chosen.train, chosen.seed, True, store.part("train").labels)
    training.seed_everything(chosen.seed)
    network = Network("squeezenet1_1", 0.2, frozen_batch_norm=True)
    folder.mkdir(exist_ok=True)
    on_cpu = device.pick("cpu", "auto", 1)
    return training.fit(network, store, plan, on_cpu, folder, lambda *_: None), plan


def test_a_row_holds_the_frozen_layers_answer_to_one_view(tmp_path: Path) -> None:
    part, layers = make_store(tmp_path / "pixels").part("train"), trunk()
    views = Views(3, seed=1, settings=dataclasses.replace(NOTHING, flips=True, stain=0.2))
    found = cached(layers, part, views, tmp_path / "f.npy", 7)
    assert len(found) == len(part) and found.values.shape[0] == 3 * len(part)
    assert found.values.dtype == np.float16
    for cell, view in ((0, 0), (11, 1), (len(part) - 1, 2)):
        images = to_images(torch.from_numpy(part.read([cell])))
        with torch.no_grad():
            expected = layers(views(images, view, np.array([cell])))
        row = torch.from_numpy(found.read([cell * 3 + view])).permute(0, 3, 1, 2).float()
        assert torch.allclose(row, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_the_views_are_the_eight_symmetries_of_a_square() -> None:
    images = torch.rand(1, 3, 9, 9)
    views = Views(8, settings=dataclasses.replace(NOTHING, flips=True))
    found = [views(images.clone(), view, np.array([0]))[0] for view in range(8)]
    expected = [torch.rot90(m, k, (1, 2)) for m in (images[0], images[0].flip(2)) for k in range(4)]
    matches = [[torch.allclose(f, e, atol=1e-4) for e in expected] for f in found]
    assert sorted(row.index(True) for row in matches) == list(range(8))
    assert torch.equal(Views(1)(images, 0, np.array([0])), images)


def test_without_augmentation_a_cached_training_gives_the_losses_of_the_plain_one(
    tmp_path: Path,
) -> None:
    store = make_store(tmp_path / "pixels")
    plain = settings(epochs=4, head_epochs=2, augment=NOTHING)
    cache = dataclasses.replace(plain, train=dataclasses.replace(plain.train, cache_views=1))
    first, _ = run(tmp_path / "plain", store, plain)
    second, _ = run(tmp_path / "cached", store, cache)
    for ours, theirs in zip(second.history, first.history, strict=True):
        for key in ("train/loss", "val/loss"):  # half precision, and steps that build on it
            assert float(ours[key]) == pytest.approx(float(theirs[key]), rel=1e-2), ours["epoch"]


def test_it_is_computed_once_and_continued_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path / "pixels")
    chosen = settings(epochs=4, head_epochs=1, cache_views=4)
    undisturbed, plan = run(tmp_path / "undisturbed", store, chosen)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def interrupt(epoch: int, _row: training.Row) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    training.seed_everything(chosen.seed)
    network = Network("squeezenet1_1", 0.2, frozen_batch_norm=True)
    on_cpu = device.pick("cpu", "auto", 1)
    with pytest.raises(KeyboardInterrupt):
        training.fit(network, store, plan, on_cpu, scratch, interrupt)
    monkeypatch.setattr(features, "_fill", None)  # would fail
    again, _ = run(scratch, store, chosen)
    assert again.history == undisturbed.history
    expected = undisturbed.network.state_dict()
    for name, tensor in again.network.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_an_interrupted_pass_goes_on_after_what_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_store(tmp_path / "pixels").part("train")
    whole = cached(trunk(), part, Views(2, settings=NOTHING), tmp_path / "whole.npy", 8)
    monkeypatch.setattr(features, "SECONDS_BETWEEN_NOTES", 0.0)
    real, asked = features._of_all_views, []

    def batch(layers: Trunk, part: PixelStore, views: Views, samples: np.ndarray) -> np.ndarray:
        asked.append(int(samples[0]))
        if fails and len(asked) == 3:
            raise OSError
        return real(layers, part, views, samples)

    monkeypatch.setattr(features, "_of_all_views", batch)
    for lost in ("nothing", "the file"):
        path = tmp_path / f"{lost}.npy"
        fails = True
        with pytest.raises(OSError):
            cached(trunk(), part, Views(2, settings=NOTHING), path, 8)
        if lost == "the file":
            path.with_suffix(".part").unlink()
        fails = False
        asked.clear()
        again = cached(trunk(), part, Views(2, settings=NOTHING), path, 8)
        assert asked == ([16, 24, 32] if lost == "nothing" else [0, 8, 16, 24, 32])
        assert np.array_equal(again.values, whole.values)
        asked.clear()


def test_a_share_of_a_pass_goes_on_in_its_own_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the second process of two, with the first one's rows long on the disk."""
    part, views = make_store(tmp_path / "pixels").part("train"), Views(2, settings=NOTHING)
    whole = cached(trunk(), part, views, tmp_path / "whole.npy", 8)
    monkeypatch.setattr(features, "SECONDS_BETWEEN_NOTES", 0.0)
    second = dataclasses.replace(trunk(), team=Team(rank=1, size=2))
    path = tmp_path / "f.part"
    features._allocate(trunk(), part, views, path)
    real, failing = features._of_all_views, [28]

    def batch(layers: Trunk, part: PixelStore, views: Views, samples: np.ndarray) -> np.ndarray:
        if samples[0] in failing:
            raise OSError
        return real(layers, part, views, samples)

    monkeypatch.setattr(features, "_of_all_views", batch)
    with pytest.raises(OSError):
        features._fill(second, part, views, path, 8)
    assert (tmp_path / "f.1.next").read_text() == "28"
    failing[:] = [0, 20]  # neither another's rows nor those that are there
    features._fill(second, part, views, path, 8)
    found = np.load(path)
    assert np.array_equal(found[40:], whole.values[40:]) and not found[:40].any()


@pytest.mark.parametrize(("num_flushed", "kept"), [(0, "f.new"), (1, "f.part")])
def test_no_file_has_its_name_before_its_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_flushed: int, kept: str
) -> None:
    part, left = make_store(tmp_path / "pixels").part("val"), [None] * num_flushed

    def flush(_file: int) -> None:
        if not left:
            raise OSError(errno.EIO, "Input/output error")
        left.pop()

    monkeypatch.setattr(os, "fsync", flush)
    with pytest.raises(OSError, match="Input/output"):
        cached(trunk(), part, Views(1), tmp_path / "f.npy", 8)
    assert [path.name for path in tmp_path.glob("f.*")] == [kept]


def test_what_one_call_does_not_write_the_next_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_store(tmp_path / "pixels").part("val")
    whole = cached(trunk(), part, Views(2, settings=NOTHING), tmp_path / "whole.npy", 8)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: real(file, data[:1000], at))
    pieces = cached(trunk(), part, Views(2, settings=NOTHING), tmp_path / "pieces.npy", 8)
    assert np.array_equal(pieces.values, whole.values)


def test_every_epoch_draws_views_anew(tmp_path: Path) -> None:
    from wbc.batches import train_loader

    part = make_store(tmp_path / "pixels").part("train")
    views = Views(4, settings=dataclasses.replace(NOTHING, flips=True))
    loader = train_loader(cached(trunk(), part, views, tmp_path / "f.npy", 8), 8, 1)
    drawn = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        rows = np.array(list(loader.sampler))
        assert sorted(rows // 4) == list(range(len(part)))
        drawn.append({row // 4: row % 4 for row in rows})
        for _, labels, samples in loader:
            assert torch.equal(labels, torch.from_numpy(part.labels)[samples])
    assert drawn[0] != drawn[1]
    assert set(drawn[0].values()) == {0, 1, 2, 3}


def test_googlenets_features_take_82_kb_a_view() -> None:
    with torch.no_grad():
        shape = trunk("googlenet")(torch.rand(1, 3, 224, 224)).shape
    assert 2 * shape.numel() <= 82_000


def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    part, layers = make_store(tmp_path / "pixels").part("val"), trunk()
    with torch.no_grad():
        layers.network.net.features[0].weight.mul_(1e9)
    with pytest.raises(UserError, match=r"larger than 65504 .* set train.cache_views: 0"):
        cached(layers, part, Views(1), tmp_path / "f.npy", 8)
    assert not (tmp_path / "f.npy").exists()


def test_after_a_random_start_nothing_is_cached_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(tmp_path / "pixels")
    chosen = settings(epochs=1, head_epochs=0, cache_views=2)
    plan = make_plan(chosen.train, 1, False, store.part("train").labels)
    network = Network("squeezenet1_1", 0.2, frozen_batch_norm=False)
    training.fit(network, store, plan, device.pick("cpu", "auto", 1), tmp_path, lambda *_: None)
    assert "train.cache_views is not used" in caplog.text
    assert not list(tmp_path.glob("*.npy"))


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize("what", ["upper", "head"])
def test_the_rest_of_every_network_answers_as_the_whole(
    tmp_path: Path, name: str, what: Unfreeze
) -> None:
    part, layers = make_store(tmp_path / "pixels", {"train": 1}).part("train"), trunk(name)
    layers.network.unfreeze(what)
    found = cached(layers, part, Views(1), tmp_path / "f.npy", 4)
    rows = torch.from_numpy(found.read([0, 1, 2])).movedim(-1, 1).float()
    images = to_images(torch.from_numpy(part.read([0, 1, 2])))
    with torch.no_grad():
        layers.network.eval()
        whole = layers.network(images)
        rest = layers.network.learned(rows, what)
    assert torch.allclose(rest, whole, atol=3e-3 * max(1.0, float(whole.abs().max())))
