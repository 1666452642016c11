"""From the bytes of an image file to the square of pixels that a network sees.

One code path for preprocess and for serving.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wbc.decoding import UnreadableImage, decode
from wbc.framing import Framing
from wbc.light import NEUTRAL, Light, light_of, neutralised
from wbc.localisation import Box, bounds, outline
from wbc.staining import background_colour, reduced
from wbc.surroundings import Region, kept_around, mixed, share_kept

__all__ = ["Box", "Framing", "Prepared", "UnreadableImage", "prepare"]

Picture = NDArray[np.uint8]  # H x W x 3, RGB
Window = tuple[int, int, int]  # top, left and side of a square, in whole pixels of the picture

NEUTRAL_GLASS: Final = np.full(3, NEUTRAL, np.uint8)


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

    With light neutral the bare glass has the same colour in every picture (wbc.light); with
    surroundings fade nothing but the cell is left on it (wbc.surroundings), if one is found.
    """
    image = decode(data)
    wanted = framing.crop != "none" or framing.surroundings == "fade"
    small = reduced(image) if wanted or framing.light == "neutral" else image
    cell = _cell(image, small, framing, mask) if wanted else None
    square = framed(image, small, light_in(image, small, framing), cell, framing)
    return Prepared(square, located=cell is not None or not wanted)


def light_in(image: Picture, small: Picture, framing: Framing) -> Light | None:
    """The light to undo, None where it is to be kept or cannot be seen."""
    return light_of(small, max(image.shape)) if framing.light == "neutral" else None


def framed(
    image: Picture, small: Picture, light: Light | None, cell: Region | None, framing: Framing
) -> Picture:
    """The square, size x size x 3, of a decoded picture around `cell`; None: all of the picture.

    small: `reduced(image)`; light: by `light_in`.
    """
    if cell is None or framing.crop == "none":
        window = _whole(image)
    else:
        window = _around(bounds(cell.mask, cell.rows, cell.columns), framing.context)
    square = _resized(_cut(image, small, window), framing.size)
    rows, columns = _centres(window, framing.size)
    if light is not None:
        height, width = image.shape[:2]
        square = neutralised(square, light, 2 * rows / height - 1, 2 * columns / width - 1)
    if framing.surroundings == "fade" and cell is not None:
        share = share_kept(kept_around(cell), rows, columns)
        neutral = framing.light == "neutral"
        square = mixed(square, share, NEUTRAL_GLASS if neutral else _glass(small))
    return square


def cut_out(image: Picture, small: Picture, box: Box, context: float, most: int) -> Picture:
    """A square of a decoded picture, `context` times as wide as the cell in `box`.

    At the picture's own resolution, or the half, a third, ... so that it has at most `most` pixels
    a side; what lies outside the picture has its glass's colour. small: `reduced(image)`.
    """
    top, left, side = _around(box, context)
    times = math.ceil(side / most)
    if times > 1:  # before the cut, since the square may be far larger than the picture
        image = np.asarray(Image.fromarray(image).reduce(times))
    return _cut(image, small, (round(top / times), round(left / times), side // times))


def _cell(image: Picture, small: Picture, framing: Framing, mask: bytes | None) -> Region | None:
    if framing.crop == "mask":
        return _masked(image, mask)
    found = outline(image, small)
    return None if found is None else Region(found.cell, found.rows, found.columns)


def _masked(image: Picture, mask: bytes | None) -> Region | None:
    """The mask's largest connected part; None where the mask is empty."""
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
    return Region(labels[rows, columns] == largest + 1, rows, columns)


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
    canvas[:] = _glass(small)
    canvas[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = inside
    return canvas


def _glass(small: Picture) -> Picture:
    """The colour (3) of the bare glass."""
    return background_colour(small).round().astype(np.uint8)


def _centres(window: Window, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the centres of the square's rows and columns lie in the picture, in its pixels."""
    top, left, side = window
    steps = (np.arange(size) + 0.5) * side / size
    return top + steps, left + steps


def _resized(square: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bicubic with antialiasing, Pillow's within one grey level (rarely two where it enlarges)."""
    from torch import from_numpy  # here: its import takes seconds, and not every process resizes
    from torch.nn.functional import interpolate

    batch = from_numpy(square).permute(2, 0, 1).unsqueeze(0)  # channels last, as is fastest
    resized = interpolate(batch, size=(size, size), mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
