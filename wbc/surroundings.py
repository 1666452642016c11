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

Places = NDArray[np.float64]

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


def share_kept(kept: Kept, rows: Places, columns: Places) -> NDArray[np.float32]:
    """How much is kept at `rows` x `columns` of the picture (in its pixels), 0 to 1."""
    share = _between(kept.share, (rows - kept.top) / kept.down)
    return _between(share.T, (columns - kept.left) / kept.across).T


def mixed(
    square: NDArray[np.uint8], share: NDArray[np.float32], glass: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The `share` (S x S) of a square, S x S x 3, and of the colour `glass` the rest."""
    # Whole numbers are the same on every machine; 255 x 256 + 128 fits into 16 bits. All of a row
    # in one line: numpy is slow where the last axis is short.
    weight = np.repeat(np.rint(share * 256).astype(np.uint16), 3, axis=1)
    sums = square.reshape(weight.shape) * weight
    sums += np.tile(glass, len(square)) * (256 - weight)
    sums += 128
    sums >>= 8
    return sums.astype(np.uint8).reshape(square.shape)


def _coarse(mask: Mask) -> Mask:
    """Masks given with the pictures are as fine as those: distances would take long."""
    longer = max(mask.shape)
    if longer <= 2 * COARSE:
        return mask
    size = [max(1, round(length * COARSE / longer)) for length in mask.shape[::-1]]
    grey = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(grey) > 127


def _between(rows: NDArray[np.float32], places: Places) -> NDArray[np.float32]:
    """Rows at `places`, in between by straight lines, beyond the ends as the last one."""
    inside = np.clip(places, 0, len(rows) - 1)
    low = np.minimum(inside.astype(np.intp), max(0, len(rows) - 2))
    share = (inside - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, len(rows) - 1)
    return np.asarray(rows[low] * (1 - share) + rows[high] * share)
