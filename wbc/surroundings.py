"""A square whose surroundings have faded to bare glass, so that only the cell can decide.

The cell's outline is known to lose pale, wide cytoplasm, so it is widened by a share of the cell
before anything fades, and the fading is gradual: a rim that was cut is dimmed at worst, and no edge
is drawn that a network could take for a feature.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wbc.localisation import Mask

MARGIN: Final = 0.15  # of the cell's diameter, kept around its outline
FADE: Final = 0.15  # of the cell's diameter, beyond the margin: from the picture to the glass
COARSE: Final = 64  # pixels, longer side of a mask of which distances are taken


@dataclass(frozen=True)
class Region:
    """A cell's mask over `rows` and `columns` of a picture, at a scale of its own."""

    mask: Mask
    rows: slice
    columns: slice


@dataclass(frozen=True)
class Kept:
    """How much of the picture is kept around a cell, 0 to 1; 0 along the border and beyond it.

    Its pixel 0, 0 has its centre at `top`, `left` of the picture, the next ones are `down` and
    `across` pixels of the picture away.
    """

    share: NDArray[np.float32]
    top: float
    left: float
    down: float
    across: float


def kept_around(region: Region) -> Kept:
    """All of the cell and of its margin, fading outwards."""
    mask = _coarse(region.mask)
    diameter = 2 * math.sqrt(np.count_nonzero(mask) / math.pi)
    reach = math.ceil((MARGIN + FADE) * diameter) + 1
    distance = ndimage.distance_transform_edt(~np.pad(mask, reach))
    gone = np.clip((distance / diameter - MARGIN) / FADE, 0, 1)
    share = 1 - gone * gone * (3 - 2 * gone)  # smooth at both ends
    down = (region.rows.stop - region.rows.start) / mask.shape[0]
    across = (region.columns.stop - region.columns.start) / mask.shape[1]
    top = region.rows.start + (0.5 - reach) * down
    left = region.columns.start + (0.5 - reach) * across
    return Kept(share.astype(np.float32), top, left, down, across)


def faded(
    square: NDArray[np.uint8],
    kept: Kept,
    window: tuple[int, int, int],
    glass: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """A square, S x S x 3, faded to the colour `glass` where nothing is kept.

    window: top, left and side of the square in the picture.
    """
    top, left, side = window
    size = square.shape[0]
    centres = (np.arange(size) + 0.5) * side / size
    share = _between(kept.share, (centres + top - kept.top - 0.5) / kept.down)
    share = _between(share.T, (centres + left - kept.left - 0.5) / kept.across).T
    weight = np.rint(share * 256).astype(np.int32)[..., None]  # whole numbers: the same everywhere
    mixed = square * weight + glass.astype(np.int32) * (256 - weight) + 128
    return (mixed >> 8).astype(np.uint8)


def _coarse(mask: Mask) -> Mask:
    """Masks given with the pictures are as fine as those: distances would take long."""
    longer = max(mask.shape)
    if longer <= 2 * COARSE:
        return mask
    size = [max(1, round(length * COARSE / longer)) for length in mask.shape[::-1]]
    grey = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(grey) > 127


def _between(rows: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows at `places`, in between by straight lines, beyond the ends as the last one."""
    inside = np.clip(places, 0, len(rows) - 1)
    low = np.minimum(inside.astype(np.intp), max(0, len(rows) - 2))
    share = (inside - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, len(rows) - 1)
    return np.asarray(rows[low] * (1 - share) + rows[high] * share)
