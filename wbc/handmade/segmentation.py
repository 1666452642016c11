"""Nucleus and cell as masks over a stored square, for hand-made features.

wbc.localisation finds the cell by the stain's colour; here its outline is carried over to the
square and the nucleus is cut out of it anew, at the square's own resolution.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_holes, remove_small_objects

from wbc.localisation import Leukocyte, outline
from wbc.masks import Mask
from wbc.staining import Values, absorbed, background_colour

SIDE: Final = 128  # pixels: every square is measured at this side, so that distances mean the same
CELL_DIAMETER: Final = 1 / 1.5  # of the side, where no cell is found: what preprocess aims at
SMOOTHING: Final = 1.5  # pixels; in dark chromatin the violet is a difference of two faint channels
MIN_CONTRAST: Final = 0.35  # of the nucleus's violet over the cytoplasm's, as a share of the former
MIN_NUCLEUS: Final = 0.08  # of the cell's area; less is a granule or dirt
MIN_LOBE: Final = 0.04  # of the nucleus's area; a smaller piece is a granule, a smaller hole noise


@dataclass(frozen=True)
class Segmented:
    """A square of SIDE pixels with masks; `found` is False where a central disc stands in."""

    pixels: NDArray[np.uint8]  # (SIDE, SIDE, 3)
    densities: Values  # (3, SIDE, SIDE): optical density of red, green and blue, natural logarithms
    cell: Mask
    nucleus: Mask  # within `cell`, never empty
    found: bool

    @property
    def cytoplasm(self) -> Mask:
        """What of the cell is not nucleus; may be empty."""
        mask: Mask = self.cell & ~self.nucleus
        return mask


def segment(square: NDArray[np.uint8]) -> Segmented:
    """Nucleus and cell of a square (S, S, 3) of any side; total, also on an empty picture."""
    pixels = _resized(square)
    background = background_colour(pixels)
    stain = absorbed(pixels, background, SMOOTHING)
    densities = _densities(pixels, background)
    leukocyte = outline(pixels)
    cell = _disc() if leukocyte is None else _cell(leukocyte)
    nucleus = _nucleus(stain.violet, cell)
    return Segmented(pixels, densities, cell, nucleus, leukocyte is not None)


def _resized(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if square.shape[0] == SIDE:
        return square
    shrinks = square.shape[0] > SIDE
    resample = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), resample))


def _densities(pixels: NDArray[np.uint8], background: NDArray[np.float64]) -> Values:
    """Beer-Lambert, at most that of 1 % of the glass's light; brighter than the glass is 0."""
    light = (pixels.astype(np.float32) + 1) / (background.astype(np.float32) + 1)
    return np.asarray(-np.log(np.clip(light, 0.01, 1.0)).transpose(2, 0, 1), dtype=np.float32)


def _disc() -> Mask:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    mask: Mask = np.hypot(y, x) <= SIDE * CELL_DIAMETER / 2
    return mask


def _cell(leukocyte: Leukocyte) -> Mask:
    """The outline, which is coarser than the square, at the square's scale and without holes."""
    rows, columns = leukocyte.rows, leukocyte.columns
    size = (columns.stop - columns.start, rows.stop - rows.start)
    coarse = Image.fromarray(leukocyte.cell.astype(np.float32))
    cell = np.zeros((SIDE, SIDE), bool)
    cell[rows, columns] = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)) > 0.5
    filled: Mask = ndimage.binary_fill_holes(cell)
    return filled


def _nucleus(violet: Values, cell: Mask) -> Mask:
    """Otsu within the cell; the whole cell where there are no two parts to be told apart."""
    inside = violet[cell]
    if float(np.ptp(inside)) < 1e-6:
        return cell
    threshold = float(threshold_otsu(inside, nbins=128))
    high, low = inside[inside > threshold], inside[inside <= threshold]
    if low.size == 0 or high.mean() - low.mean() < MIN_CONTRAST * high.mean():
        return cell
    nucleus = _without_specks(cell & (violet > threshold))
    return nucleus if nucleus.sum() >= MIN_NUCLEUS * cell.sum() else cell


def _without_specks(mask: Mask) -> Mask:
    """Without pieces, and then without holes, that are small beside the mask."""
    least = max(1, round(MIN_LOBE * int(mask.sum())))
    lobes = remove_small_objects(mask, max_size=least)
    whole: Mask = remove_small_holes(lobes, max_size=least)
    return whole
