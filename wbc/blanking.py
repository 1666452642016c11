"""Pictures without their cell, and without their background.

The cell is blanked out by a disc MARGIN times as wide as the cell's box and by everything that is
stained like its nucleus elsewhere (other leukocytes, platelets), in the glass's colour of the same
picture, as if the cell had never lain there. The disc is the same for all cells of a store that is
cropped to the cell, so that its outline tells nothing; in a store of whole pictures its width
tells the cell's. Red cells still tell the scale: a crop around a small cell shows them larger.

The background is all but the cell's outline, blanked out in one colour for all pictures, so that
neither lamp nor smear is left of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wbc.localisation import Leukocyte, outline
from wbc.masks import Mask
from wbc.pixels import Pixels
from wbc.staining import absorbed, background_colour, reduced

MARGIN: Final = 1.3  # width of the blanked disc in cell diameters
UNKNOWN_CELL: Final = 0.6  # of the side: a cell's diameter where none is found in a whole picture
NUCLEAR: Final = 0.5  # of the nucleus's median violet; more is stained like a nucleus
AROUND_NUCLEI: Final = 0.06  # of the side, blanked around what is stained like a nucleus
RIM: Final = 0.03  # of the side, kept around the outline when the background is blanked
SOFT: Final = 0.01  # of the side: the edges of what is blanked are blurred by this much


@dataclass(frozen=True)
class Parts:
    """Weights (H, W) from 0 to 1 of a picture's `cell` and of its `disc`, and its glass (RGB)."""

    cell: NDArray[np.float32]
    disc: NDArray[np.float32]
    glass: NDArray[np.float64]
    found: bool


def parts_of(square: NDArray[np.uint8], context: float | None) -> Parts:
    """Where the cell lies in a square; `context` of the store, None for whole pictures."""
    small = reduced(square)
    glass = background_colour(small)
    side = small.shape[0]
    leukocyte = outline(small)
    if leukocyte is None:
        diameter = side / context if context else UNKNOWN_CELL * side
        middle = (side / 2, side / 2)
        cell, nuclei = _disc(side, middle, diameter), np.zeros((side, side), bool)
    else:
        cell, nuclei = _placed(leukocyte, leukocyte.cell, side), _nuclear(small, glass, leukocyte)
        diameter, middle = _extent(cell)
    if context:
        diameter, middle = side / context, (side / 2, side / 2)
    gone = _disc(side, middle, MARGIN * diameter) | _widened(cell, RIM * side)
    gone |= _widened(nuclei, AROUND_NUCLEI * side)
    size = square.shape[0]
    return Parts(
        _soft(_widened(cell, RIM * side), size), _soft(gone, size), glass, leukocyte is not None
    )


def blanked(
    squares: Pixels, parts: Sequence[Parts], fill: NDArray[np.float64]
) -> tuple[Pixels, Pixels]:
    """Squares (N, S, S, 3) without their cells, and without their backgrounds."""
    no_cell, no_background = np.empty_like(squares), np.empty_like(squares)
    for position, (square, part) in enumerate(zip(squares, parts, strict=True)):
        no_cell[position] = _mixed(square, part.glass, part.disc)
        no_background[position] = _mixed(square, fill, 1 - part.cell)
    return no_cell, no_background


def _placed(leukocyte: Leukocyte, mask: Mask, side: int) -> Mask:
    """A leukocyte's mask over its window as one over the square picture that it was found in."""
    whole = np.zeros((side, side), bool)
    places = []
    for axis, span in enumerate((leukocyte.rows, leukocyte.columns)):
        length = span.stop - span.start
        places.append(((np.arange(length) + 0.5) * mask.shape[axis] / length).astype(np.intp))
    whole[leukocyte.rows, leukocyte.columns] = mask[np.ix_(*places)]
    return whole


def _nuclear(image: NDArray[np.uint8], glass: NDArray[np.float64], leukocyte: Leukocyte) -> Mask:
    """What is stained like the leukocyte's nucleus, wherever it lies."""
    violet = absorbed(image, glass, sigma=1.0).violet
    nucleus = _placed(leukocyte, leukocyte.nucleus, image.shape[0])
    mask: Mask = violet > NUCLEAR * np.median(violet[nucleus])
    return mask


def _extent(mask: Mask) -> tuple[float, tuple[float, float]]:
    """Longer side and middle of a mask's box."""
    rows, columns = ndimage.find_objects(mask.view(np.uint8))[0]
    longer = max(rows.stop - rows.start, columns.stop - columns.start)
    return longer, ((rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2)


def _disc(side: int, middle: tuple[float, float], diameter: float) -> Mask:
    y, x = np.ogrid[:side, :side]
    mask: Mask = (y + 0.5 - middle[0]) ** 2 + (x + 0.5 - middle[1]) ** 2 <= (diameter / 2) ** 2
    return mask


def _widened(mask: Mask, reach: float) -> Mask:
    """The mask and all within `reach` pixels of it."""
    if not mask.any():
        return mask
    wider: Mask = ndimage.distance_transform_edt(~mask) <= reach
    return wider


def _soft(mask: Mask, size: int) -> NDArray[np.float32]:
    """The mask at `size` x `size`, its edges blurred."""
    weights = ndimage.gaussian_filter(mask.astype(np.float32), SOFT * mask.shape[0])
    if size == mask.shape[0]:
        return np.asarray(weights, dtype=np.float32)
    places = np.linspace(0, mask.shape[0] - 1, size)
    return np.asarray(
        ndimage.map_coordinates(weights, np.meshgrid(places, places, indexing="ij"), order=1),
        dtype=np.float32,
    )


def _mixed(
    square: NDArray[np.uint8], colour: NDArray[np.float64], weight: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """`colour` where the weight is 1, the picture where it is 0."""
    share = weight[..., None]
    return np.asarray(np.rint(square * (1 - share) + colour * share), dtype=np.uint8)
