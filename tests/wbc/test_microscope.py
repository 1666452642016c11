"""Another microscope: each effect does what it says, checked against theory and libjpeg."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from tests.wbc.pictures import cell, encoded
from tests.wbc.test_augment import NOTHING
from wbc import microscope
from wbc.augment import augment, uniform_draws

SIDE = 64


def draws(count: int = 12) -> torch.Tensor:
    return uniform_draws(1, 0, np.arange(count), microscope.NUM_DRAWS)


def strength(column: int, count: int = 12) -> torch.Tensor:
    """From 0 to 1, as the sample drew it."""
    return (draws(count)[:, column] + 1) / 2


def seen(images: torch.Tensor, **settings: float) -> torch.Tensor:
    chosen = dataclasses.replace(NOTHING, **settings)
    return microscope.photographed(images.clone(), draws(len(images)), chosen)


def dots(count: int = 12) -> torch.Tensor:
    images = torch.zeros(count, 3, SIDE, SIDE)
    images[:, :, SIDE // 2, SIDE // 2] = 1
    return images


def textures(count: int = 12) -> torch.Tensor:
    images = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    return 0.25 + images / 2


def moments(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sum, centre (N, 3, 2) from the dot's place and variance across of each plane."""
    place = torch.arange(SIDE) - SIDE // 2
    total = images.sum(dim=(2, 3))
    down = (images.sum(dim=3) * place).sum(dim=2) / total
    across = (images.sum(dim=2) * place).sum(dim=2) / total
    spread = (images.sum(dim=2) * place**2).sum(dim=2) / total - across**2
    return total, torch.stack([down, across], dim=2), spread


def detail(images: torch.Tensor) -> torch.Tensor:
    """Mean square of the differences of neighbours, (N,)."""
    return (images.diff(dim=3) ** 2).mean(dim=(1, 2, 3))


def test_blur_is_a_gaussian_of_the_drawn_width() -> None:
    total, centre, spread = moments(seen(dots(), blur=0.05))
    assert torch.allclose(total, torch.ones_like(total), atol=1e-4)
    assert centre.abs().max() < 1e-4
    sigma = 0.05 * SIDE * strength(2)
    wide = sigma > 0.7  # narrower ones are sampled too coarsely for their own variance
    assert wide.sum() > 6
    assert torch.allclose(spread[wide, 1].sqrt(), sigma[wide], rtol=0.03)


def test_blur_takes_detail_away_and_sharpening_adds_some() -> None:
    before = detail(textures())
    assert (detail(seen(textures(), blur=0.03)) <= before + 1e-6).all()
    sharper = detail(seen(textures(), sharpen=1.0)) / before
    assert (sharper > 1).all() and sharper.argmax() == strength(3).argmax()
    flat = torch.full((12, 3, SIDE, SIDE), 0.3)
    assert torch.allclose(seen(flat, sharpen=1.0, blur=0.03, fringe=0.02), flat, atol=1e-5)


def test_fringes_shift_red_against_blue_and_leave_green() -> None:
    for fringe in (0.01, 0.05):
        total, centre, _ = moments(seen(dots(), fringe=fringe))
        expected = fringe * SIDE * draws()[:, 4:6]
        assert torch.allclose(total, torch.ones_like(total), atol=1e-5)
        assert torch.allclose(centre[:, 0], -expected, atol=1e-3)
        assert torch.allclose(centre[:, 2], expected, atol=1e-3)
        assert centre[:, 1].abs().max() < 1e-4


def test_noise_has_the_drawn_deviation_and_no_pattern() -> None:
    grey = torch.full((12, 3, SIDE, SIDE), 0.5)
    noise = seen(grey, noise=12.0) - grey
    microscope._noise.cache_clear()  # as in another process
    assert torch.equal(seen(grey, noise=12.0) - grey, noise)
    sigma = 12 / 255 * strength(6)
    assert torch.allclose(noise.flatten(1).std(dim=1), sigma, rtol=0.03)
    assert (noise.flatten(1).mean(dim=1).abs() < 0.05 * sigma).all()
    flat = noise.flatten(1) / sigma[:, None]
    one_another = (flat @ flat.T / flat.shape[1]).fill_diagonal_(0)
    neighbours = (flat[:, 1:] * flat[:, :-1]).mean(dim=1)
    assert one_another.abs().max() < 0.05 and neighbours.abs().max() < 0.05


@pytest.mark.parametrize("quality", [95, 75, 50, 20])
def test_jpeg_is_libjpegs(quality: int) -> None:
    grain = np.random.default_rng(1).normal(0, 6, (62, 75, 3))
    pixels = np.clip(np.asarray(cell(75, 62, 40, 30)) + grain, 0, 255).astype(np.uint8)
    file = encoded(Image.fromarray(pixels), "JPEG", quality=quality, subsampling=0)
    theirs = np.asarray(Image.open(io.BytesIO(file))).astype(np.float32)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    ours = 255 * microscope.compressed(images, torch.tensor([float(quality)])).clamp(0, 1)
    ours = ours[0].permute(1, 2, 0).numpy()
    alike = np.corrcoef((ours - pixels).ravel(), (theirs - pixels).ravel())[0, 1]
    assert alike > (0.8 if quality == 95 else 0.95)  # it rounds to whole levels in between
    assert (ours - pixels).std() == pytest.approx((theirs - pixels).std(), rel=0.05), alike
    assert np.abs(ours - theirs).mean() < 1.8


def test_jpeg_shows_its_blocks() -> None:
    ramp = torch.linspace(0.4, 0.6, SIDE).expand(12, 3, SIDE, SIDE).contiguous()
    steps = seen(ramp, jpeg=90.0).diff(dim=3).abs().mean(dim=(0, 1, 2))
    edges = torch.arange(7, SIDE - 1, 8)
    assert steps[edges].mean() > 2 * steps.mean()


def test_resolution_comes_in_three_grids() -> None:
    settings = dataclasses.replace(NOTHING, resolution=0.6, microscope_share=0.5)
    groups = microscope.groups(draws(400), settings, 200)
    assert [side for side, _ in groups] == [80, 140, 200]
    seen = torch.cat([rows for _, rows in groups]).tolist()
    assert len(seen) == len(set(seen))
    assert all(50 < len(rows) < 85 for _, rows in groups)  # a sixth each
    images = textures(40)
    every = uniform_draws(1, 0, np.arange(40), 34)
    coarse = augment(images, every, dataclasses.replace(NOTHING, resolution=0.6))
    kept = detail(coarse) / detail(images)
    assert kept.min() < 0.2 and kept.max() > 0.99
