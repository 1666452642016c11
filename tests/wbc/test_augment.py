"""Augmentation: exact random numbers, known transforms, ranges kept."""

import colorsys
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from wbc import augment as module
from wbc.augment import (
    DYES,
    DYES_INVERSE,
    NUM_DRAWS,
    _grid,
    _restain,
    augment,
    to_images,
    uniform_draws,
)
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
    stain_hue=0,
    uptake=0,
    white_point=0,
    gamma=0,
    gradient=0,
    microscope_share=1,
    resolution=0,
    blur=0,
    fringe=0,
    sharpen=0,
    noise=0,
    jpeg=0,
)
# What was there before other microscopes were, and all there is.
PLAIN = dataclasses.replace(
    NOTHING, flips=True, rotation=180, scale=0.1, shift=0.05, brightness=0.15, contrast=0.15,
    saturation=0.15, hue=0.02, stain=0.05,
)  # fmt: skip
EVERYTHING = dataclasses.replace(  # as docs/augmentation.md recommends
    PLAIN, stain=0.3, stain_hue=0.08, uptake=0.6, white_point=0.08, gamma=0.3, gradient=0.1,
    microscope_share=0.5, resolution=0.5, blur=0.01, fringe=0.004, sharpen=1, noise=6, jpeg=60,
)  # fmt: skip
STRONG = {"flips": 1.0, "rotation": 90.0, "blur": 0.03, "fringe": 0.02, "noise": 10.0, "jpeg": 70.0}


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


def test_more_draws_leave_the_first_ones_as_they_were() -> None:
    assert torch.equal(draws()[:, :14], uniform_draws(1, 0, np.arange(6), 14))
    first = torch.tensor([[-0.2556431, -0.2900990, -0.2652907]])
    assert torch.allclose(uniform_draws(1, 0, np.array([0]), 3), first, atol=1e-7)


def test_nothing_asked_nothing_changed() -> None:
    assert torch.allclose(changed(), pictures(), atol=1e-5)


def test_without_other_microscopes_every_bit_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampled, restained, one colour matrix, and no other step."""
    monkeypatch.setattr(module, "_relight", None)  # would fail
    monkeypatch.setattr(module.microscope, "change", None)
    for settings in (PLAIN, dataclasses.replace(PLAIN, stain=0, flips=False)):
        for unused in (settings, dataclasses.replace(settings, microscope_share=0, blur=0.01)):
            out = augment(pictures(), draws(), unused)
            moved = module._move(pictures(), draws()[:, :7], settings)
            if settings.stain:
                moved = _restain(moved, 1 + settings.stain * draws()[:, 7:9])
            matrix, offset = module._colour_matrix(moved, draws()[:, 9:13], settings)
            expected = torch.baddbmm(offset, matrix, moved.flatten(2)).clamp(0, 1)
            assert torch.equal(out, expected.view(out.shape))


def test_a_sample_has_the_same_pixels_in_every_batch() -> None:
    for side in (32, 57):
        images = torch.rand(24, 3, side, side, generator=torch.Generator().manual_seed(3))
        whole = augment(images, draws(24), EVERYTHING)
        for rows in ([5], [23, 2], [*range(7, 24)]):
            assert torch.equal(augment(images[rows], draws(24)[rows], EVERYTHING), whole[rows])


def test_the_pictures_given_are_not_written_to() -> None:
    images = pictures()
    augment(images, draws(), dataclasses.replace(EVERYTHING, microscope_share=1.0))
    assert torch.equal(images, pictures())


def test_only_the_share_that_is_asked_for_goes_through_another_microscope() -> None:
    images = torch.rand(400, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    cameras = {"resolution": 0.5, "blur": 0.02, "noise": 5.0, "jpeg": 50.0}
    some = dataclasses.replace(NOTHING, microscope_share=0.3, **cameras)
    out = augment(images, draws(400), some)
    plain = augment(images, draws(400), NOTHING)
    assert 0.23 < (out != plain).flatten(1).any(dim=1).float().mean() < 0.37


def test_a_device_is_started_for_what_is_large_only() -> None:
    """Each operation on a few numbers a sample would cost a GPU as much as one on the pixels."""
    pixels = torch.empty((16, 32, 32, 3), dtype=torch.uint8, device="meta")
    augment(to_images(pixels), draws(16), PLAIN)  # constants are sent once
    with OnDevice() as operations:
        augment(to_images(pixels), draws(16), PLAIN)
    assert 10 < operations.count <= 22


class OnDevice(TorchDispatchMode):
    """Counts the operations that write to tensors on another device than the CPU."""

    count = 0

    def __torch_dispatch__(self, operation: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        writes = isinstance(result, torch.Tensor) and not operation.is_view
        self.count += writes and result.is_meta and operation._opname != "_unsafe_view"
        return result


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
        if name == "microscope_share":
            continue
        out = changed(**{name: STRONG.get(name, 0.1)})
        assert not torch.allclose(out, pictures(), atol=1e-3), name
        assert out.min() >= 0 and out.max() <= 1, name


def test_white_and_grey_keep_their_colour() -> None:
    white = torch.ones(6, 3, 8, 8)
    dyes = dataclasses.replace(NOTHING, stain=0.5, stain_hue=0.2, gamma=0.5)
    stained = augment(white, draws(), dyes)
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


def test_a_turned_dye_keeps_its_amount_and_what_is_no_dye() -> None:
    """A pixel of one dye alone gets that dye's new colour at the old density; the rest stays."""
    turned = F.normalize(torch.tensor([[[0.9, 0.2], [0.3, 0.9], [0.2, 0.4]]]), dim=1)
    matrix = module._dye_matrix(torch.tensor([[1.0, 0.5]]), turned)[0]
    assert torch.allclose(matrix @ DYES[:, 0], turned[0, :, 0], atol=1e-6)
    assert torch.allclose(matrix @ DYES[:, 1], 0.5 * turned[0, :, 1], atol=1e-6)
    neither = torch.linalg.cross(DYES[:, 0], DYES[:, 1])
    assert torch.allclose(matrix @ neither, neither, atol=1e-6)


def test_light_is_exponent_white_point_and_a_plane() -> None:
    light = dataclasses.replace(NOTHING, gamma=0.3, white_point=0.1, gradient=0.2)
    out = augment(torch.full((6, 3, 8, 8), 0.4), draws(), light).log()
    _, gamma, red, blue, down, across = (draws()[:, 19 + i, None, None] for i in range(6))
    place = (torch.arange(8) + 0.5) / 4 - 1
    plane = 0.1 * (down * place[:, None] + across * place)
    green = np.log(0.4) * torch.exp(0.3 * gamma) + plane
    assert torch.allclose(out[:, 1], green, atol=1e-5)
    assert torch.allclose(out[:, 0], green + 0.1 * red, atol=1e-5)
    assert torch.allclose(out[:, 2], green + 0.1 * blue, atol=1e-5)


def on_glass(colour: torch.Tensor) -> torch.Tensor:
    """(3, 8, 16): the colour beside the glass of a PBC picture."""
    glass = torch.tensor([253.0, 233.0, 210.0]) / 255
    return torch.stack([colour, glass], dim=1).repeat_interleave(8, 1).unsqueeze(1).expand(3, 8, 16)


def test_uptake_is_a_power_of_the_density_over_the_glass() -> None:
    colour = torch.tensor([0.3, 0.2, 0.5])
    images = on_glass(colour).expand(6, -1, -1, -1)
    out = augment(images, draws(), dataclasses.replace(NOTHING, uptake=0.5))
    assert torch.allclose(out[..., 8:], images[..., 8:], atol=1e-5)
    density = (images[0, :, 0, 8] / colour).log()
    drawn = draws()[:, 34:38]
    powers = torch.exp(0.5 * (drawn[:, :1] + 0.25 * drawn[:, 1:]))
    expected = density * (density.mean() / module.PIVOT) ** (powers - 1)
    found = (images[:, :, 0, 8] / out[:, :, 0, 0]).log()
    assert torch.allclose(found, expected, rtol=1e-4)


def test_eosinophils_stay_eosinophils() -> None:
    """Granules are pink beside violet ones, in whatever laboratory both are seen."""
    count = 3000
    eosinophil, basophil = (
        on_glass(torch.tensor(colour) / 255).expand(count, 3, 8, 16)
        for colour in ((174.0, 105.0, 139.0), (68.0, 25.0, 130.0))  # medians over 40 PBC cells
    )
    still = {"flips": False, "rotation": 0, "scale": 0, "shift": 0}
    settings = dataclasses.replace(EVERYTHING, contrast=0, microscope_share=0, **still)
    pink, violet = (
        hue(augment(cells, draws(count), settings)[:, :, 0, 0]) for cells in (eosinophil, basophil)
    )
    assert (pink - violet).min() > 25  # of 62 degrees
    assert pink.quantile(0.01) > violet.quantile(0.99)  # even of any two laboratories


def hue(colours: torch.Tensor) -> torch.Tensor:
    """Degrees from magenta towards red, (N,): red is 60, blue -60."""
    turns = torch.tensor([colorsys.rgb_to_hsv(*colour)[0] for colour in colours.tolist()])
    return 360 * ((turns + 0.5 - 300 / 360) % 1 - 0.5)
