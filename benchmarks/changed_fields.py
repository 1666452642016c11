"""The same cell as other laboratories might photograph it: scaled, turned, cut, tinted, blurred."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from wbc.localisation import Box

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Field:
    """One picture and where its cell is."""

    name: str
    pixels: Pixels
    mask: NDArray[np.bool_] | None  # the whole cell; None: not known
    truth: Box


def bounds(mask: NDArray[np.bool_]) -> Box:
    rows, columns = ndimage.find_objects(mask.astype(np.int8))[0]
    return Box(columns.start, rows.start, columns.stop, rows.stop)


def _map(field: Field, alter: Callable[[Image.Image], Image.Image], carry: bool) -> Field:
    """A changed picture; with `carry` its mask changes alike (else colours only).

    Where there is no mask, the ellipse in the box stands for it.
    """
    pixels = np.asarray(alter(Image.fromarray(field.pixels)))
    if not carry:
        return Field(field.name, pixels, field.mask, field.truth)
    height, width = field.pixels.shape[:2]
    painted = field.mask
    if painted is None:
        painted = np.zeros((height, width), bool)
        box = field.truth
        y, x = np.ogrid[:height, :width]
        down = (2 * y - box.top - box.bottom) / max(1.0, box.height)
        across = (2 * x - box.left - box.right) / max(1.0, box.width)
        painted = down**2 + across**2 <= 1
    moved = np.asarray(alter(Image.fromarray(painted.astype(np.uint8) * 255).convert("RGB")))
    mask = moved[..., 0] > 127
    truth = bounds(mask) if mask.any() else Box(0, 0, 0, 0)
    return Field(field.name, pixels, mask if field.mask is not None else None, truth)


def _scaled(factor: float) -> Callable[[Field], Field]:
    def change(field: Field) -> Field:
        def alter(picture: Image.Image) -> Image.Image:
            size = (round(picture.width * factor), round(picture.height * factor))
            return picture.resize(size, Image.Resampling.BICUBIC)

        return _map(field, alter, carry=True)

    return change


def _cut(left: float, top: float, right: float, bottom: float) -> Callable[[Field], Field]:
    """Cut to the cell's box and, on each side, this share of its longer side."""

    def change(field: Field) -> Field:
        box = field.truth
        side = max(box.width, box.height)
        edges = (
            max(0, round(box.left - left * side)),
            max(0, round(box.top - top * side)),
            min(field.pixels.shape[1], round(box.right + right * side)),
            min(field.pixels.shape[0], round(box.bottom + bottom * side)),
        )
        return _map(field, lambda picture: picture.crop(edges), carry=True)

    return change


def _coloured(alter: Callable[[Pixels], Pixels]) -> Callable[[Field], Field]:
    return lambda field: _map(
        field, lambda picture: Image.fromarray(alter(np.asarray(picture))), carry=False
    )


def _gain(red: float, green: float, blue: float) -> Callable[[Field], Field]:
    gains = np.array([red, green, blue])
    return _coloured(lambda pixels: (pixels * gains).clip(0, 255).astype(np.uint8))


def _noisy(pixels: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 12, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def _gamma(pixels: Pixels) -> Pixels:
    return (255 * (pixels / 255) ** 0.6).astype(np.uint8)


CHANGES: dict[str, Callable[[Field], Field]] = {
    "a quarter the size": _scaled(0.25),
    "half the size": _scaled(0.5),
    "twice the size": _scaled(2),
    "turned by 90 degrees": lambda field: _map(
        field, lambda picture: picture.transpose(Image.Transpose.ROTATE_90), carry=True
    ),
    "turned by 30 degrees": lambda field: _map(field, lambda picture: _turned(picture), carry=True),
    "cut to twice the cell": _cut(0.5, 0.5, 0.5, 0.5),
    "cut close": _cut(0.1, 0.1, 0.1, 0.1),
    "cell in the corner": _cut(0.0, 0.0, 1.5, 1.5),
    "darker by a third": _gain(0.67, 0.67, 0.67),
    "lamp yellow": _gain(1.0, 0.95, 0.7),
    "lamp blue": _gain(0.8, 0.9, 1.0),
    "gamma 0.6": _coloured(_gamma),
    "noise of 12 levels": _coloured(_noisy),
    "blurred by 1/128": lambda field: _map(
        field,
        lambda picture: picture.filter(ImageFilter.GaussianBlur(picture.width / 128)),
        carry=False,
    ),
}


def _turned(picture: Image.Image) -> Image.Image:
    """Turned and cut to the largest upright square that stays inside."""
    turned = picture.rotate(30, Image.Resampling.BICUBIC)
    side = min(picture.size) / (np.cos(np.pi / 6) + np.sin(np.pi / 6))
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    return turned.crop((round(left), round(top), round(left + side), round(top + side)))
