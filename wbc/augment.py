"""Batched augmentation on the training device, exact to the sample.

The random numbers of a sample are a function of (seed, epoch, sample index) only, so neither the
order of samples nor the number of loader workers, devices or interruptions changes them. What is
small, a few numbers a sample, is computed on the CPU and sent: a GPU would be started once for each
operation on it.
docs/augmentation.md has every setting's range and reason.
"""

import functools
import math
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wbc import microscope
from wbc.device import send
from wbc.params import Augment

# Of a sample: what moves it, what recolours it, dyes and light, another microscope.
_MOVE, _COLOUR, _LIGHT = slice(0, 7), slice(7, 14), slice(14, 25)
_CAMERA: Final = slice(25, 25 + microscope.NUM_DRAWS)
_UPTAKE: Final = slice(_CAMERA.stop, _CAMERA.stop + 4)
NUM_DRAWS: Final = _UPTAKE.stop

# Optical densities (R, G, B) of Giemsa's two dyes, methylene blue and eosin: the "Giemsa" vectors
# of G. Landini's Colour Deconvolution (after Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23).
_GIEMSA = torch.tensor([[0.834750, 0.513556, 0.196330], [0.092789, 0.954111, 0.283111]])
DYES: Final = F.normalize(_GIEMSA, dim=1).T  # (3, 2), unit columns
DYES_INVERSE: Final = torch.linalg.pinv(DYES)  # (2, 3)
PIVOT: Final = 0.7  # natural logarithm: a density between those of cytoplasm and nucleus, kept
GLASS: Final = 8  # pixels, side of the brightest square, which is taken for the glass
TURN: Final = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])  # cross product with (1, 1, 1)
LUMA: Final = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


def uniform_draws(seed: int, epoch: int, samples: NDArray[np.int64], count: int) -> Tensor:
    """Numbers in [-1, 1) of shape (len(samples), count), hashed (SplitMix64), not streamed."""
    with np.errstate(over="ignore"):
        state = _mix(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15))
        state = _mix(state + np.uint64(epoch))
        rows = _mix(state + samples.astype(np.uint64))[:, None]
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = _mix(rows + steps)
    unit = (bits >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    return torch.from_numpy((2 * unit - 1).astype(np.float32))


def to_images(pixels: Tensor) -> Tensor:
    """(N, 3, S, S) in 0..1 of (N, S, S, 3) uint8, in planes: resampling is faster that way."""
    planes = pixels.permute(0, 3, 1, 2)
    return planes.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def augment(images: Tensor, draws: Tensor, settings: Augment) -> Tensor:
    """Turn, mirror, scale, shift and recolour; a share of them through another microscope.

    Args:
        images: (N, 3, S, S), values in 0..1, on any device.
        draws: (N, NUM_DRAWS) from `uniform_draws`, on the CPU.

    Returns:
        The same shape and range.
    """
    out = _recolour(_move(images, draws[:, _MOVE], settings), draws, settings)
    if microscope.is_on(settings):
        microscope.change(out, draws[:, _CAMERA], settings)
    return out


def _move(images: Tensor, draws: Tensor, settings: Augment) -> Tensor:
    """One affine resampling; what comes from outside is mirrored at the border."""
    turn = math.radians(settings.rotation) * draws[:, 0]
    if settings.flips:
        turn = turn + (math.pi / 2) * torch.floor(2 * (draws[:, 1] + 1))
    mirror = torch.where(draws[:, 2] < 0, -1.0, 1.0) if settings.flips else torch.ones_like(turn)
    zoom = 1 + settings.scale * draws[:, 3]
    cos, sin = torch.cos(turn) / zoom, torch.sin(turn) / zoom
    shift_x, shift_y = 2 * settings.shift * draws[:, 4], 2 * settings.shift * draws[:, 5]
    rows = (cos * mirror, -sin, shift_x, sin * mirror, cos, shift_y)
    matrices = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = _grid(send(matrices, images.device), images.shape[2], images.shape[3])
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """What F.affine_grid gives, (N, H, W, 2), from sums of rows and columns: 4 times as fast."""
    columns, rows = _centres(width, matrices.device), _centres(height, matrices.device)
    across = matrices[:, :, 0, None] * columns  # (N, 2, W)
    down = matrices[:, :, 1, None] * rows + matrices[:, :, 2, None]  # (N, 2, H)
    return across.transpose(1, 2).unsqueeze(1) + down.transpose(1, 2).unsqueeze(2)


@functools.cache
def _centres(count: int, device: torch.device) -> Tensor:
    """The middles of `count` pixels that together reach from -1 to 1."""
    return (2 * torch.arange(count, device=device) + 1) / count - 1


def _recolour(images: Tensor, draws: Tensor, settings: Augment) -> Tensor:
    """Stain and light in optical density, then one colour matrix for all the rest."""
    colour, light = draws[:, _COLOUR], draws[:, _LIGHT]
    if _changes_light(settings):
        strengths = 1 + settings.stain * colour[:, :2]
        images = _relight(images, _restaining(strengths, light, settings), draws, settings)
    elif settings.stain > 0:
        images = _restain(images, 1 + settings.stain * colour[:, :2])
    matrix, offset = _colour_matrix(images, colour[:, 2:6], settings)
    flat = torch.baddbmm(offset, matrix, images.flatten(2))
    return flat.clamp_(0, 1).view(images.shape)


def _changes_light(settings: Augment) -> bool:
    lamps = (settings.white_point, settings.gamma, settings.gradient)
    return any((settings.stain_hue, settings.uptake, *lamps))


def _restain(images: Tensor, strengths: Tensor) -> Tensor:
    """Scale each dye's share of the optical density; what is no dye stays. Consumes `images`."""
    change = send(_dye_matrix(strengths), images.device)
    negative_density = images.clamp_(min=1 / 255).log_()
    return torch.bmm(change, negative_density.flatten(2)).exp_().view(images.shape)


def _dye_matrix(strengths: Tensor, turned: Tensor | None = None) -> Tensor:
    """(N, 3, 3) that scales each dye by `strengths` (N, 2) and gives it the colour `turned`.

    turned: (N, 3, 2), unit columns of optical density; without it the dyes keep their colours.
    """
    added = DYES * (strengths - 1).unsqueeze(1)
    if turned is not None:
        added = added + (turned - DYES) * strengths.unsqueeze(1)
    # Not by matmul, whose rounding depends on the number of samples on some CPUs.
    back: Tensor = added[:, :, :1] * DYES_INVERSE[0] + added[:, :, 1:] * DYES_INVERSE[1]
    return back + torch.eye(3)


def _restaining(strengths: Tensor, draws: Tensor, settings: Augment) -> Tensor:
    """Each dye's strength and colour and the camera's tone curve, (N, 3, 3) for densities.

    A tone curve of exponent g, light ** g, multiplies every density by g.
    """
    turned = DYES + settings.stain_hue * draws[:, :6].view(-1, 3, 2)
    turned = F.normalize(turned.clamp(min=0), dim=1)  # no dye shines
    return torch.exp(settings.gamma * draws[:, 6]).view(-1, 1, 1) * _dye_matrix(strengths, turned)


def _relight(images: Tensor, matrix: Tensor, draws: Tensor, settings: Augment) -> Tensor:
    """Densities by `matrix`, light by white point and gradient; may exceed 1. Consumes `images`.

    The white point scales red and blue against green, as cameras do; the gradient is a plane of
    any direction, 0 in the middle and at most `settings.gradient` in the corners.
    """
    n, _, height, width = images.shape
    light = draws[:, _LIGHT]
    slopes = send(0.5 * settings.gradient * light[:, 9:11], images.device)
    down = slopes[:, :1] * _centres(height, images.device)
    across = slopes[:, 1:] * _centres(width, images.device)
    plane = (down.unsqueeze(2) + across.unsqueeze(1)).view(n, 1, -1)
    white = torch.zeros(n, 3, 1)
    white[:, ::2, 0] = settings.white_point * light[:, 7:9]
    negative_density = images.clamp_(min=1 / 255).log_()
    if settings.uptake > 0:
        negative_density = _taken_up(negative_density, draws[:, _UPTAKE], settings)
    matrix, white = send(matrix, images.device), send(white, images.device)
    logs = torch.baddbmm(plane + white, matrix, negative_density.flatten(2))
    return logs.exp_().view(images.shape)


def _taken_up(negative_density: Tensor, draws: Tensor, settings: Augment) -> Tensor:
    """Dense parts gain or lose against thin ones: densities over the glass to a power.

    Relative to PIVOT; each channel's power is a little its own, so that dense and thin parts
    change their colours apart. Glass is the brightest square of GLASS pixels. Consumes the input.
    """
    side = min(GLASS, *negative_density.shape[2:])
    glass = F.avg_pool2d(negative_density, side).amax(dim=(2, 3), keepdim=True)
    density = torch.sub(glass, negative_density).clamp_(min=0)
    thick = density.mean(dim=1, keepdim=True).clamp_(min=1 / 255).mul_(1 / PIVOT).log_()
    power = torch.exp(settings.uptake * (draws[:, :1] + draws[:, 1:] / 4)).view(-1, 3, 1, 1)
    more = send(power - 1, density.device)
    return torch.addcmul(glass, density, (more * thick).exp_(), value=-1)


def _colour_matrix(images: Tensor, draws: Tensor, settings: Augment) -> tuple[Tensor, Tensor]:
    """Hue, saturation, contrast and brightness as one 3x3 matrix and offset a sample.

    Hue turns the colour around the grey axis (Rodrigues); saturation mixes with luma; contrast
    stretches about the picture's mean luma, as in torchvision's ColorJitter.
    """
    angle = 2 * math.pi * settings.hue * draws[:, 3]
    saturation = 1 + settings.saturation * draws[:, 2]
    contrast = 1 + settings.contrast * draws[:, 1]
    brightness = 1 + settings.brightness * draws[:, 0]
    grey = LUMA.expand(3, 3)
    mixed = saturation.view(-1, 1, 1) * torch.eye(3) + (1 - saturation).view(-1, 1, 1) * grey
    matrix = torch.bmm(mixed, _turn_about_grey(angle))
    scale = (contrast * brightness).view(-1, 1, 1)
    mean = _mean_luma(images)
    less, more = send(torch.stack((1 - contrast, brightness)), images.device)
    offset = (mean * less * more).view(-1, 1, 1).expand(-1, 3, 1)
    return send(scale * matrix, images.device), offset


def _mean_luma(images: Tensor) -> Tensor:
    """Of each picture, (N,)."""
    return (images.mean(dim=(2, 3)) * _luma_on(images.device)).sum(dim=1)


@functools.cache
def _luma_on(device: torch.device) -> Tensor:
    return LUMA.to(device)


def _turn_about_grey(angle: Tensor) -> Tensor:
    cross = TURN / math.sqrt(3)
    outer = torch.full((3, 3), 1 / 3)
    cos, sin = torch.cos(angle).view(-1, 1, 1), torch.sin(angle).view(-1, 1, 1)
    return cos * torch.eye(3) + sin * cross + (1 - cos) * outer


def _mix(x: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea & Flood 2014)."""
    x = np.asarray(x, dtype=np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
