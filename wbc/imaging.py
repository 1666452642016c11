"""From the bytes of an image file to the square of pixels that a network sees.

One code path for preprocess and for serving.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wbc.decoding import UnreadableImage, decode
from wbc.localisation import Box, locate
from wbc.staining import background_colour

__all__ = ["Box", "Prepared", "UnreadableImage", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A cell as the networks see it."""

    pixels: NDArray[np.uint8]  # size x size x 3, RGB
    located: bool  # False: no leukocyte found, the whole picture stands in


def prepare(
    data: bytes, size: int, crop: str, context: float, mask: bytes | None = None
) -> Prepared:
    """The square of `size` pixels that stands for an encoded picture; raises UnreadableImage.

    crop: none (whole picture), cell (around the leukocyte found) or mask (around the largest part
    of `mask`, an encoded picture of the same size, brighter where the cell is). The window is a
    square of `context` times the longer side of the cell's box, centred on it. Whatever lies
    outside the picture has its background's colour, so nothing is stretched and no black corner
    appears. Where no cell is found the whole picture, padded to a square, stands in.
    """
    image = decode(data)
    if crop == "none":
        return Prepared(_window(image, _whole(image), size), located=True)
    if crop == "cell":
        box = locate(image)
    elif crop == "mask":
        box = _mask_box(image, mask)
    else:
        raise ValueError(f"crop is none, cell or mask, not {crop!r}")
    if box is None:
        return Prepared(_window(image, _whole(image), size), located=False)
    return Prepared(_window(image, _around(box, context), size), located=True)


def _whole(image: NDArray[np.uint8]) -> Box:
    """The smallest square around the whole picture, same centre."""
    height, width = image.shape[:2]
    return _square(width / 2, height / 2, max(width, height))


def _around(box: Box, context: float) -> Box:
    """The square crop window around a cell."""
    side = context * max(box.width, box.height)
    return _square((box.left + box.right) / 2, (box.top + box.bottom) / 2, side)


def _square(x: float, y: float, side: float) -> Box:
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def _mask_box(image: NDArray[np.uint8], mask: bytes | None) -> Box | None:
    """The box of the mask's largest connected part; None where the mask is empty."""
    if not mask:
        raise UnreadableImage("no mask")
    try:
        bright = decode(mask).max(axis=2)
    except UnreadableImage as error:
        raise UnreadableImage(f"mask: {error}") from error
    if bright.shape != image.shape[:2]:
        raise UnreadableImage("mask and picture differ in size")
    labels, count = ndimage.label(bright > bright.max() // 2)
    if count == 0:
        return None
    largest = int(np.bincount(labels.ravel())[1:].argmax())
    rows, columns = ndimage.find_objects(labels)[largest]
    return Box(columns.start, rows.start, columns.stop, rows.stop)


def _window(image: NDArray[np.uint8], window: Box, size: int) -> NDArray[np.uint8]:
    """The square window, antialiased to size x size; outside the picture lies the background.

    The window lies on whole pixels: at most half a pixel off, far less than the cell's rim is.
    """
    height, width = image.shape[:2]
    left, top = math.floor(window.left + 0.5), math.floor(window.top + 0.5)
    side = max(1, math.floor(window.width + 0.5))
    inside = image[max(0, top) : top + side, max(0, left) : left + side]
    if left < 0 or top < 0 or left + side > width or top + side > height:
        canvas = np.empty((side, side, 3), np.uint8)
        canvas[:] = background_colour(image).round().astype(np.uint8)
        rows, columns = inside.shape[:2]
        canvas[max(0, -top) :, max(0, -left) :][:rows, :columns] = inside
        inside = canvas
    return _resized(inside, size)


def _resized(square: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bicubic with antialiasing, Pillow's within one grey level (rarely two where it enlarges)."""
    from torch import from_numpy  # here: its import takes seconds, and not every process resizes
    from torch.nn.functional import interpolate

    batch = from_numpy(square).permute(2, 0, 1).unsqueeze(0)  # channels last, as is fastest
    resized = interpolate(batch, size=(size, size), mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
