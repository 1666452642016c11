"""Another microscope and its camera: resolution, blur, colour fringes, sharpening, noise, JPEG.

In the order of the light: the optics blur the picture and shift red against blue, the camera's
processor sharpens, its sensor adds noise and the file is compressed, all on the camera's own grid
of pixels. Every strength is a function of the sample's draws alone. Ranges and reasons:
docs/augmentation.md.
"""

import functools
import math
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wbc.device import send
from wbc.params import Augment

NUM_DRAWS: Final = 9  # of a sample, in this order:
_SEEN, _GRID, _BLUR, _SHARPEN, _FRINGE, _NOISE, _PIECE, _JPEG = 0, 1, 2, 3, slice(4, 6), 6, 7, 8
NUM_GRIDS: Final = 3  # resolutions: pictures of one are computed together, so few of them
SHARPENING_RADIUS: Final = 1.0  # pixels of the camera, the standard deviation of its unsharp mask
BLOCK: Final = 8  # pixels, side of what JPEG transforms at a time

# The quantisation tables of ITU-T T.81 (1992), annex K.1, row by row; libjpeg scales them.
_LUMINANCE = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101
72 92 95 98 112 100 103 99"""
_CHROMINANCE = """
17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
_TABLES: Final = torch.tensor(
    [[float(step) for step in table.split()] for table in (_LUMINANCE, *[_CHROMINANCE] * 2)]
)  # (3, 64)
# ITU-T T.871 (JFIF): luma and the two colour differences, here about 0.
_TO_YCC: Final = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
_TO_RGB: Final = torch.tensor([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
_MIDDLE_GREY: Final = 128 / 255  # taken from luma before the transform


def is_on(settings: Augment) -> bool:
    """Whether any sample can be changed at all."""
    effects = (settings.resolution, *_optics(settings), settings.noise, settings.jpeg)
    return settings.microscope_share > 0 and any(effects)


def change(images: Tensor, draws: Tensor, settings: Augment) -> None:
    """Put what another microscope's file would hold in the place of a share of the pictures.

    images: (N, 3, S, S) in 0..1; draws: (N, NUM_DRAWS) from `uniform_draws`, on the CPU.
    """
    side = images.shape[2]
    for grid, rows in groups(draws, settings, side):
        part = images.index_select(0, send(rows, images.device))
        if grid < side:  # a coarse pixel sees the light of its whole surface
            part = _resized(part, grid, antialias=True)
        part = photographed(part, draws[rows], settings)
        if grid < side:
            part = _resized(part, side, antialias=False)
        for row, picture in zip(rows.tolist(), part, strict=True):
            images[row] = picture


def groups(draws: Tensor, settings: Augment, side: int) -> list[tuple[int, Tensor]]:
    """The pixels along the side of another camera, and the rows of the samples that it sees.

    From 1 - `settings.resolution` of `side` up to all, in NUM_GRIDS equal steps.
    """
    step = torch.floor(NUM_GRIDS * _unit(draws[:, _GRID])) / (NUM_GRIDS - 1)
    grids = torch.round(side * (1 - settings.resolution * step)).long()
    grids[_unit(draws[:, _SEEN]) >= settings.microscope_share] = 0
    of_each = [(grid, torch.nonzero(grids == grid)[:, 0]) for grid in torch.unique(grids).tolist()]
    return [(grid, rows) for grid, rows in of_each if grid > 0]


def photographed(images: Tensor, draws: Tensor, settings: Augment) -> Tensor:
    """The same shape in 0..1; `images` on the camera's own grid, may be overwritten."""
    if any(_optics(settings)):
        kernels = _kernels(draws, settings, images.shape[2])
        images = filtered(images, send(kernels, images.device))
    if settings.noise > 0:
        _add_noise(images, draws, settings.noise / 255)
    images = images.clamp_(0, 1)
    if settings.jpeg > 0:
        images = compressed(images, 100 - settings.jpeg * _unit(draws[:, _JPEG])).clamp_(0, 1)
    return images


def _resized(images: Tensor, side: int, antialias: bool) -> Tensor:
    return F.interpolate(images, (side, side), mode="bilinear", antialias=antialias)


def _unit(draws: Tensor) -> Tensor:
    return (draws + 1) / 2


def _optics(settings: Augment) -> tuple[float, ...]:
    return settings.blur, settings.sharpen, settings.fringe


def _kernels(draws: Tensor, settings: Augment, side: int) -> Tensor:
    """(N, 3, 2, K): for each channel what is done down and across.

    Red is shifted one way and blue the other: over one cell, a small part of the field, lateral
    chromatic aberration is nearly the same everywhere.
    """
    blur, fringe = settings.blur * side, settings.fringe * side
    sigma = (blur * _unit(draws[:, _BLUR])).view(-1, 1, 1, 1)
    amount = (settings.sharpen * _unit(draws[:, _SHARPEN])).view(-1, 1, 1, 1)
    opposite = torch.tensor([1.0, 0.0, -1.0])
    shift = (fringe * draws[:, None, _FRINGE] * opposite[:, None]).unsqueeze(3)
    mask = SHARPENING_RADIUS if settings.sharpen else 0.0
    reach = math.ceil(3 * math.hypot(blur, mask) + fringe)
    narrow = _gaussian(reach, shift, sigma)
    wide = _gaussian(reach, shift, torch.hypot(sigma, torch.tensor(mask)))
    return narrow + amount * (narrow - wide)


def _gaussian(reach: int, shift: Tensor, sigma: Tensor) -> Tensor:
    """Weights at the pixels -reach to reach; a shift between pixels is interpolated linearly."""
    whole = torch.floor(shift)
    steps = torch.arange(-reach, reach + 1) - whole
    spread = 2 * sigma.clamp(min=0.2) ** 2  # pixels; at 0.2 no neighbour counts
    near, far = torch.exp(-(steps**2) / spread), torch.exp(-((steps - 1) ** 2) / spread)
    near, far = (weights / weights.sum(dim=-1, keepdim=True) for weights in (near, far))
    return near + (shift - whole) * (far - near)


def filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Each plane of (N, C, H, W) by its kernels (N, C, 2, K), down and across; mirrored outside."""
    n, channels, height, width = images.shape
    planes, length = n * channels, kernels.shape[3]
    reach = [length // 2] * 4
    out = F.pad(images.reshape(1, planes, height, width), reach, mode="reflect")
    out = F.conv2d(out, kernels[:, :, 0].reshape(planes, 1, length, 1), groups=planes)
    out = F.conv2d(out, kernels[:, :, 1].reshape(planes, 1, 1, length), groups=planes)
    return out.view(images.shape)


def _add_noise(images: Tensor, draws: Tensor, strongest: float) -> None:
    """To each picture a piece of a fixed sequence, which begins where its draw says."""
    count = images[0].numel()
    sequence = _noise(2 * count, images.device)
    sigmas = (strongest * _unit(draws[:, _NOISE])).tolist()
    begins = (count * _unit(draws[:, _PIECE])).long().tolist()
    for image, sigma, begin in zip(images, sigmas, begins, strict=True):
        image.add_(sequence[begin : begin + count].view(image.shape), alpha=sigma)


@functools.cache
def _noise(count: int, device: torch.device) -> Tensor:
    """`count` numbers of the standard normal distribution, always the same."""
    values = np.random.default_rng(0).standard_normal(count, dtype=np.float32)
    return torch.from_numpy(values).to(device)


def compressed(images: Tensor, quality: Tensor) -> Tensor:
    """(N, 3, H, W) in 0..1 as JPEG gives them back at libjpeg's quality (N,) from 1 to 100.

    Colour at full resolution. Not rounded to grey levels.
    """
    n, _, height, width = images.shape
    padded = F.pad(images, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    rows, columns = padded.shape[2] // BLOCK, padded.shape[3] // BLOCK
    forward, backward = (send(x, images.device) for x in _transforms(quality))
    to_ycc, to_rgb, grey = _colours(images.device)
    planes = torch.baddbmm(-grey, to_ycc.expand(n, 3, 3), padded.flatten(2))
    cut = planes.view(n * 3, rows, BLOCK, columns, BLOCK).transpose(2, 3)
    coefficients = torch.bmm(cut.reshape(n * 3, rows * columns, BLOCK**2), forward).round_()
    blocks = torch.bmm(coefficients, backward).view(n * 3, rows, columns, BLOCK, BLOCK)
    planes = blocks.transpose(2, 3).reshape(n, 3, -1)
    whole = torch.baddbmm(to_rgb @ grey, to_rgb.expand(n, 3, 3), planes).view(padded.shape)
    return whole[:, :, :height, :width]


def _transforms(quality: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine transform with division by the steps, and back: (3 N, 64, 64) each, on the CPU."""
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).view(-1, 1, 1)
    steps = torch.floor(scale * _TABLES + 0.5).clamp_(1, 255).view(-1, BLOCK**2) / 255
    cosine = _cosine_transform()
    return cosine.T / steps.unsqueeze(1), steps.unsqueeze(2) * cosine


@functools.cache
def _cosine_transform() -> Tensor:
    """The orthonormal two-dimensional DCT of a block as one matrix: coefficients by pixels."""
    k = torch.arange(BLOCK, dtype=torch.float64)
    one = torch.cos((2 * k + 1) * k.unsqueeze(1) * math.pi / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
    one[0] /= 2**0.5
    return torch.kron(one, one).float()


@functools.cache
def _colours(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    grey = torch.tensor([[_MIDDLE_GREY], [0], [0]])
    return _TO_YCC.to(device), _TO_RGB.to(device), grey.to(device)
