"""Every leukocyte of a smear field, found as wbc.localisation finds the one of a picture.

What is large enough to be a nucleus is a matter of scale, and the field brings its own ruler: the
nucleus of a small lymphocyte is about as large as a red cell, which is how it is judged by eye too
(e.g. Bain, Blood Cells, 5th ed., 2015, ch. 3); platelets are far smaller. Where no round red cells
lie apart from each other, nuclei are compared with the largest one of the field.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wbc.decoding import decode
from wbc.framing import Framing
from wbc.imaging import cut_out, framed
from wbc.localisation import (
    RIVAL,
    Box,
    Leukocyte,
    Seen,
    bounds,
    leukocyte,
    look,
    outline,
)
from wbc.masks import Mask, spread
from wbc.staining import FAINT, WORKING_SIDE, reduced

FINE: Final = 20  # pixels, root of the median nucleus's area in the copy: else a finer copy
FINEST: Final = 1152  # pixels, longer side of the finest copy
LEAST: Final = 16  # pixels of the copy; a smaller violet spot has no shape
SEVERAL_CONTRAST: Final = 0.3  # less: only one cell is believed, as wbc.localisation believes it
SMALLEST: Final = 0.5  # of a red cell's area; platelets are below, all nuclei above
SMALLEST_OF_LARGEST: Final = 0.25  # of the field's largest nucleus, where there is no ruler
OWN_NUCLEUS: Final = 0.75  # of a red cell's area: a part that is as large is no lobe
APART: Final = 1.75  # spread of two touching lymphocytes' nuclei: 1.9; of lobes in a ring 1.5
APART_UNMEASURED: Final = 2.6  # where no red cell tells nuclei from lobes; two neutrophils: 3
ROUND_CELL: Final = 1.3  # spread of a whole cell; two that touch: 1.5
ROUND: Final = (0.68, 0.86)  # area over that of the bounding box; a disc: 0.785
NUM_RED_CELLS: Final = 4  # round ones, at least, to measure by
NET: Final = 3.0  # spread: more is no nucleus but violet red cells that join; four lobes: 2.8
CLOSE_UP: Final = 0.25  # of the picture's area
AROUND: Final = 2.5  # cell diameters cut out of the field; docs/differential.md measures them
LARGEST: Final = 1024  # pixels a side of what is cut out; of cells above 410 a fraction is kept
RIM: Final = 3  # pixels in nuclear scale, by which outlines may end before the picture does


@dataclass(frozen=True)
class Place:
    """Where a cell lies: its box in whole pixels of the upright picture; `cut` by its border."""

    x: int
    y: int
    width: int
    height: int
    cut: bool


@dataclass(frozen=True)
class Cell:
    """A leukocyte of a field.

    pixels: as the networks see it, size x size x 3, RGB; around: where asked for, the same at the
    field's own resolution (or a fraction, see LARGEST), a square AROUND times as wide as the cell.
    """

    pixels: NDArray[np.uint8]
    place: Place
    around: NDArray[np.uint8] | None = None


def prepare_field(
    data: bytes, framing: Framing, around: bool = False
) -> tuple[NDArray[np.uint8], list[Cell]]:
    """The decoded field, upright, and every leukocyte in it, framed as `wbc.imaging.prepare` does.

    framing: with crop cell; the glass's colour is the whole field's; around: with what lies around
    each cell. Raises UnreadableImage.
    """
    image = decode(data)
    small = reduced(image)
    cells = []
    for found in outlines(image, small):
        box = box_of(found)
        square = framed(image, small, box, framing)
        wide = cut_out(image, small, box, AROUND, LARGEST) if around else None
        cells.append(Cell(square, place_of(found, image.shape), wide))
    return image, cells


def outlines(image: NDArray[np.uint8], small: NDArray[np.uint8] | None = None) -> list[Leukocyte]:
    """The masks of every leukocyte, from top to bottom.

    image: H x W x 3, RGB; small: `reduced(image)`. One cell alone has the mask that
    `wbc.localisation.outline` gives it.
    """
    small = reduced(image) if small is None else small
    alone = outline(image, small)
    seen, nuclei = _searched(image, small)
    if seen is None or seen.contrast < SEVERAL_CONTRAST:
        return [] if alone is None or spread(alone.nucleus) > NET else [alone]
    if not nuclei:
        return [alone] if alone is not None and _fills(alone, image.shape) else []
    owners = np.zeros(nuclei[0].shape, np.int32)
    for number, nucleus in enumerate(nuclei, start=1):
        owners[nucleus] = number
    areas = np.bincount(owners.ravel())
    found = []
    for number, nucleus in enumerate(nuclei, start=1):
        rivals = areas > RIVAL * areas[number]
        rivals[[0, number]] = False
        found.append(leukocyte(image, seen, nucleus, rivals[owners]))
    if len(found) == 1 and alone is not None and _is_same(alone, found[0]):
        return [alone]
    return sorted(found, key=_order)


def place_of(cell: Leukocyte, image: tuple[int, ...]) -> Place:
    """The cell's box, rounded outwards; image: the picture's shape."""
    box = box_of(cell)
    height, width = image[:2]
    rim = RIM * (cell.rows.stop - cell.rows.start) / cell.cell.shape[0]
    cut = min(box.left, box.top, width - box.right, height - box.bottom) < rim
    x, y = int(np.floor(box.left)), int(np.floor(box.top))
    right, bottom = int(np.ceil(box.right)), int(np.ceil(box.bottom))
    return Place(x, y, min(right, width) - x, min(bottom, height) - y, bool(cut))


def box_of(cell: Leukocyte) -> Box:
    return bounds(cell.cell, cell.rows, cell.columns)


def _is_same(one: Leukocyte, other: Leukocyte) -> bool:
    """Whether the middle of the first one's box lies in the other's."""
    box, around = box_of(one), box_of(other)
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return around.left <= x <= around.right and around.top <= y <= around.bottom


def _fills(cell: Leukocyte, image: tuple[int, ...]) -> bool:
    """A basophil in close-up, all granules: a nucleus of many parts, yet no net of red cells."""
    box = box_of(cell)
    return box.width * box.height > CLOSE_UP * image[0] * image[1]


def _order(cell: Leukocyte) -> tuple[float, float]:
    box = box_of(cell)
    return box.top + box.bottom, box.left + box.right


def _searched(image: NDArray[np.uint8], small: NDArray[np.uint8]) -> tuple[Seen | None, list[Mask]]:
    """The coarsest copy in which nuclei have a shape, and the nuclei in it."""
    side = WORKING_SIDE
    while True:
        # As many pixels of any copy as a thousandth is of the coarsest one.
        rarest = 0.001 * min(1.0, WORKING_SIDE**2 / (small.shape[0] * small.shape[1]))
        seen = look(small, rarest)
        clear = seen is not None and seen.contrast >= SEVERAL_CONTRAST
        nuclei = nuclei_of(image, seen, red_cell_area(seen)) if seen and clear else []
        middle = np.median([nucleus.sum() for nucleus in nuclei]) if nuclei else 0
        if middle >= FINE**2 or side >= FINEST or max(small.shape) >= max(image.shape):
            return seen, nuclei
        side *= 2
        small = reduced(image, side)


def red_cell_area(seen: Seen) -> float:
    """Median area of the round red cells that lie apart, in pixels of the copy; 0: too few."""
    stained = seen.stain.density > FAINT
    red = stained & (seen.cells == 0)
    if not red.any():
        return 0.0
    dense = seen.stain.density > 0.5 * float(np.median(seen.stain.density[red]))
    filled = ndimage.binary_fill_holes(dense & (seen.cells == 0))
    labels, _ = ndimage.label(filled)
    areas = np.bincount(labels.ravel())
    height, width = labels.shape
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        down, across = rows.stop - rows.start, columns.stop - columns.start
        inside = (
            rows.start > 0 and columns.start > 0 and rows.stop < height and columns.stop < width
        )
        full = areas[number] / (down * across)
        if (
            inside
            and areas[number] >= LEAST
            and 0.75 < down / across < 1.33
            and ROUND[0] < full < ROUND[1]
        ):
            found.append(int(areas[number]))
    if not found:
        return 0.0
    # Of the area and not of the number: specks are many, and small.
    found.sort()
    middle = found[int(np.searchsorted(np.cumsum(found), sum(found) / 2))]
    alike = [area for area in found if 0.5 * middle < area < 2 * middle]
    return float(np.median(alike)) if len(alike) >= NUM_RED_CELLS else 0.0


def nuclei_of(image: NDArray[np.uint8], seen: Seen, ruler: float) -> list[Mask]:
    """The nucleus, all its lobes, of every leukocyte.

    ruler: a red cell's area in pixels of the copy, 0 where it is not known.
    """
    labels = np.where(seen.nuclei, seen.cells, 0)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    least = max(LEAST, SMALLEST * ruler)
    parts: list[Mask] = []
    for number in np.flatnonzero(areas >= least):
        parts += _separated(labels == number, image, seen, ruler)
    if not ruler and parts:
        least = max(least, SMALLEST_OF_LARGEST * max(map(np.count_nonzero, parts)))
    return [part for part in parts if np.count_nonzero(part) >= least and spread(part) <= NET]


def _separated(nucleus: Mask, image: NDArray[np.uint8], seen: Seen, ruler: float) -> list[Mask]:
    """The nuclei of cells that touch; lobes of one nucleus stay together.

    Lobes are too small for nuclei of their own, or lie in one round cell.
    """
    if spread(nucleus) <= (APART if ruler else APART_UNMEASURED):
        return [nucleus]
    halves = _halves(nucleus)
    least = OWN_NUCLEUS * ruler if ruler else 0.3 * np.count_nonzero(nucleus)
    if min(map(np.count_nonzero, halves)) < max(LEAST, least):
        return [nucleus]
    whole = leukocyte(image, seen, nucleus, np.zeros_like(nucleus))
    if spread(whole.cell) <= ROUND_CELL:
        return [nucleus]
    return [part for half in halves for part in _separated(half, image, seen, ruler)]


def _halves(nucleus: Mask) -> tuple[Mask, Mask]:
    """Its two clusters (k-means from both ends of the long axis); small pieces stay whole."""
    points = np.argwhere(nucleus).astype(np.float64)
    centred = points - points.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, 1]
    along = centred @ axis
    centres = np.stack([points[along.argmin()], points[along.argmax()]])
    for _ in range(20):
        second = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1) == 1
        moved = np.stack([points[~second].mean(axis=0), points[second].mean(axis=0)])
        if np.allclose(moved, centres):
            break
        centres = moved
    is_second = np.zeros(nucleus.shape)
    is_second[nucleus] = second
    pieces, count = ndimage.label(nucleus)
    shares = ndimage.mean(is_second, pieces, np.arange(count + 1))
    shares = np.where((shares > 0.2) & (shares < 0.8), -1, shares)[pieces]
    chosen = np.where(shares < 0, is_second > 0, shares > 0.5)
    return nucleus & ~chosen, nucleus & chosen
