"""From the bytes of an image file to the square of pixels that a network sees.

One code path for preprocess and for serving.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wbc.decoding import MAX_SIDE, UnreadableImage, decode
from wbc.framing import Framing
from wbc.localisation import Box, locate
from wbc.staining import background_colour, reduced

__all__ = ["Box", "Framing", "Prepared", "UnreadableImage", "prepare"]

Picture = NDArray[np.uint8]  # H x W x 3, RGB
Window = tuple[int, int, int]  # top, left and side of a square, in whole pixels of the picture


@dataclass(frozen=True)
class Prepared:
    """A cell as the networks see it."""

    pixels: NDArray[np.uint8]  # size x size x 3, RGB
    located: bool  # False: no leukocyte found, the whole picture stands in


def prepare(data: bytes, framing: Framing, mask: bytes | None = None) -> Prepared:
    """The square that stands for an encoded picture; raises UnreadableImage.

    Crop none gives the whole picture, cell what lies around the leukocyte found, mask what lies
    around the largest part of `mask`, an encoded picture of the same size, brighter where the cell
    is. The window is a square of `context` times the longer side of the cell's box, centred on it.
    Whatever lies outside the picture has its background's colour, so nothing is stretched and no
    black corner appears. Where no cell is found the whole picture, padded to a square, stands in.
    """
    image = decode(data)
    if framing.crop == "none":
        return Prepared(framed(image, image, None, framing), located=True)
    small = reduced(image)
    box = _mask_box(image, mask) if framing.crop == "mask" else locate(image, small)
    return Prepared(framed(image, small, box, framing), located=box is not None)


def framed(image: Picture, small: Picture, box: Box | None, framing: Framing) -> Picture:
    """The square, size x size x 3, of a decoded picture around the cell in `box`; None: all of it.

    small: `reduced(image)`, or the picture itself.
    """
    window = _whole(image) if box is None else _around(box, framing.context)
    return _resized(_cut_at_most(image, small, window, MAX_SIDE), framing.size)


def cut_out(image: Picture, small: Picture, box: Box, context: float, most: int) -> Picture:
    """A square of a decoded picture, `context` times as wide as the cell in `box`.

    At the picture's own resolution, or the half, a third, ... so that it has at most `most` pixels
    a side; what lies outside the picture has its glass's colour. small: `reduced(image)`.
    """
    return _cut_at_most(image, small, _around(box, context), most)


def _mask_box(image: Picture, mask: bytes | None) -> Box | None:
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


def _whole(image: Picture) -> Window:
    """The smallest square around the whole picture, same centre."""
    height, width = image.shape[:2]
    return _square(width / 2, height / 2, max(width, height))


def _around(box: Box, context: float) -> Window:
    """The square crop window around a cell."""
    side = context * max(box.width, box.height)
    return _square((box.left + box.right) / 2, (box.top + box.bottom) / 2, side)


def _square(x: float, y: float, side: float) -> Window:
    """On whole pixels: at most half a pixel off, far less than the cell's rim is."""
    left, right, top = x - side / 2, x + side / 2, y - side / 2
    rounded = max(1, math.floor(right - left + 0.5))
    return math.floor(top + 0.5), math.floor(left + 0.5), rounded


def _cut(image: Picture, small: Picture, window: Window) -> Picture:
    """The window of the picture; outside the picture lies its glass, judged by `small`."""
    height, width = image.shape[:2]
    top, left, side = window
    rows = slice(max(0, top), min(height, top + side))
    columns = slice(max(0, left), min(width, left + side))
    inside = image[rows, columns]
    if inside.shape[:2] == (side, side):
        return inside
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = background_colour(small).round().astype(np.uint8)
    canvas[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = inside
    return canvas


def _cut_at_most(image: Picture, small: Picture, window: Window, most: int) -> Picture:
    """The window of the picture, as many times smaller as at most `most` pixels a side ask for."""
    top, left, side = window
    times = math.ceil(side / most)
    if times > 1:  # before the cut, since the square may be far larger than the picture
        image = np.asarray(Image.fromarray(image).reduce(times))
    return _cut(image, small, (round(top / times), round(left / times), max(1, side // times)))


def _resized(square: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bicubic with antialiasing, Pillow's within one grey level (rarely two where it enlarges)."""
    from torch import from_numpy  # here: its import takes seconds, and not every process resizes
    from torch.nn.functional import interpolate

    batch = from_numpy(square).permute(2, 0, 1).unsqueeze(0)  # channels last, as is fastest
    resized = interpolate(batch, size=(size, size), mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
