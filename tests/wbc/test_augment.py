"""Augmentation: exact random numbers, known transforms, ranges kept."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F

from wbc.augment import DYES, DYES_INVERSE, NUM_DRAWS, _grid, _restain, augment, uniform_draws
from wbc.params import Augment

NOTHING = Augment(
    flips=False,
    rotation=0,
    scale=0,
    shift=0,
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
    stain=0,
)


def pictures(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def draws(count: int = 6, seed: int = 1, epoch: int = 0) -> torch.Tensor:
    return uniform_draws(seed, epoch, np.arange(count), NUM_DRAWS)


def changed(**settings: float) -> torch.Tensor:
    return augment(pictures(), draws(), dataclasses.replace(NOTHING, **settings))


def test_draws_are_uniform_and_belong_to_the_sample_alone() -> None:
    many = uniform_draws(7, 3, np.arange(5000), 4)
    assert many.min() >= -1 and many.max() < 1
    assert abs(many.mean()) < 0.02 and abs(many.std() - 3**-0.5) < 0.01
    some = uniform_draws(7, 3, np.array([4321, 5]), 4)
    assert torch.equal(some, many[[4321, 5]])
    for other in (uniform_draws(8, 3, np.arange(9), 4), uniform_draws(7, 4, np.arange(9), 4)):
        assert not torch.isclose(other, many[:9]).any()


def test_nothing_asked_nothing_changed() -> None:
    assert torch.allclose(changed(), pictures(), atol=1e-5)


def test_flips_are_the_eight_views_of_a_square() -> None:
    count = 200
    images = pictures(1).expand(count, -1, -1, -1)
    flips = dataclasses.replace(NOTHING, flips=True)
    out = augment(images, draws(count), flips)
    views = [torch.rot90(m, k, (1, 2)) for m in (images[0], images[0].flip(2)) for k in range(4)]
    matches = [[torch.allclose(o, v, atol=1e-4) for v in views] for o in out]
    assert all(sum(row) == 1 for row in matches)
    assert len({row.index(True) for row in matches}) == 8


def test_every_setting_changes_pixels_and_keeps_the_range() -> None:
    for name in (field.name for field in dataclasses.fields(Augment)):
        out = changed(**{name: 90.0 if name == "rotation" else True if name == "flips" else 0.1})
        assert not torch.allclose(out, pictures(), atol=1e-3), name
        assert out.min() >= 0 and out.max() <= 1, name


def test_white_and_grey_keep_their_colour() -> None:
    white = torch.ones(6, 3, 8, 8)
    stained = augment(white, draws(), dataclasses.replace(NOTHING, stain=0.3))
    assert torch.allclose(stained, white, atol=1e-5)
    grey = torch.full((6, 3, 8, 8), 0.5)
    turned = augment(grey, draws(), dataclasses.replace(NOTHING, hue=0.1, saturation=0.5))
    assert torch.allclose(turned, grey, atol=1e-5)


def test_brightness_multiplies() -> None:
    bright = dataclasses.replace(NOTHING, brightness=0.2)
    out = augment(torch.full((6, 3, 8, 8), 0.5), draws(), bright)
    assert torch.allclose(out[:, 0, 0, 0], 0.5 * (1 + 0.2 * draws()[:, 9]), atol=1e-5)


def test_the_sampling_grid_is_torchs_own() -> None:
    matrices = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    theirs = F.affine_grid(matrices, [5, 3, 20, 31], align_corners=False)
    assert torch.allclose(_grid(matrices, 20, 31), theirs, atol=1e-6)


def test_staining_scales_each_dye_in_optical_density() -> None:
    strengths = 1 + 0.3 * draws()[:, :2]
    for image, strength, out in zip(
        pictures(), strengths, _restain(pictures(), strengths), strict=True
    ):
        density = -torch.log10(image.clamp(min=1 / 255)).flatten(1)
        dyes = DYES_INVERSE @ density
        expected = 10 ** -(density + DYES @ (dyes * (strength - 1)[:, None]))
        assert torch.allclose(out.flatten(1), expected, atol=1e-5)
