"""Where the leukocyte lies in a stained smear, found by the colour of its nucleus.

wbc.staining says which colour, and why it holds in every laboratory; docs/localisation.md gives
figures and failures. All lengths are shares of the picture or of the nucleus found, never pixels
of the picture.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wbc.masks import Mask, dilated, eroded, opened_by_disc, solidity, spread
from wbc.staining import FAINT, Stain, Values, absorbed, background_colour, reduced

NUCLEUS_SIDE: Final = 24  # pixels, root of the nucleus's area in the copy that shows its cell
MIN_CONTRAST: Final = 0.12  # violet of nuclei over the rest; red cells alone differ by about 0.1
# More than that: a leukocyte. Less: one only if most of what is violet is one compact nucleus; red
# cells that are a little violet are many, and where they join they make a net.
CLEAR_CONTRAST: Final = 0.2
ALONE: Final = 0.8  # of the violet pixels
COMPACT: Final = 2.0  # second moment over that of a disc of the same area; lobes in a ring: 1.5
MIN_NUCLEUS_SHARE: Final = 0.0008  # of the picture's area; smaller is a platelet or dirt
CYTOPLASM_VIOLET: Final = 0.25  # of the nuclear threshold; less violet than this is no cytoplasm
REACH: Final = 0.8  # of the nucleus's side: how far cytoplasm goes beyond the nucleus
RIVAL: Final = 0.3  # of the chosen nucleus's area; a smaller violet spot is no second leukocyte
CENTRAL: Final = 5.0  # pictures are framed on their cell, yet a platelet may lie in the middle
# Cytoplasm begins where the hue has gone this share of the way from red cells to nuclei. Tried in
# turn until the cell is convex: one that has run over into red cells is not.
CYTOPLASM_HUES: Final = (0.28, 0.4, 0.55)
MIN_SOLIDITY: Final = 0.88  # area over that of the convex hull


@dataclass(frozen=True)
class Box:
    """An upright rectangle in pixels of the picture; right and bottom are exclusive."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True)
class Leukocyte:
    """Masks of one cell, nucleus and cytoplasm together, and of its nucleus.

    They lie over `rows` and `columns` of the picture, at a scale of their own: the root of the
    nucleus's area is about NUCLEUS_SIDE.
    """

    cell: Mask
    nucleus: Mask
    rows: slice
    columns: slice


def locate(image: NDArray[np.uint8], small: NDArray[np.uint8] | None = None) -> Box | None:
    """The bounding box of the leukocyte, nucleus and cytoplasm; None where there is none.

    image: H x W x 3, RGB; small: `reduced(image)`, where it is at hand. Among several the larger
    and the more central one is taken. The nucleus is looked for in a reduced copy of the whole
    picture, the cell's rim in a copy of the nucleus's surroundings that is scaled to the nucleus,
    so that every magnification is treated alike.
    """
    found = outline(image, small)
    return None if found is None else bounds(found.cell, found.rows, found.columns)


def outline(image: NDArray[np.uint8], small: NDArray[np.uint8] | None = None) -> Leukocyte | None:
    """The masks behind `locate`; `small`: `reduced(image)`, where it is at hand."""
    seen = look(reduced(image) if small is None else small)
    if seen is None:
        return None
    nucleus, others = _chosen(seen)
    if np.count_nonzero(nucleus) < max(2, MIN_NUCLEUS_SHARE * nucleus.size):
        return None
    if seen.contrast < CLEAR_CONTRAST and not _stands_alone(nucleus, seen.nuclei):
        return None
    return leukocyte(image, seen, nucleus, others)


@dataclass(frozen=True)
class Seen:
    """What is stained in a copy (h x w) of a picture; nuclei told apart by their cells."""

    background: NDArray[np.float64]  # RGB of the glass
    stain: Stain
    threshold: float  # of violet: nuclei are above
    contrast: float  # of violet, between nuclei and the rest
    hues: tuple[float, ...]  # after CYTOPLASM_HUES
    nuclei: Mask
    cells: NDArray[np.int32]  # a number from 1 on for what nucleus or cytoplasm joins, else 0


def look(small: NDArray[np.uint8], rarest: float = 0.001) -> Seen | None:
    """Nuclei and what joins them; None without contrast. `rarest`: the share of violet expected."""
    background = background_colour(small)
    stain = absorbed(small, background, sigma=1.0)
    threshold, contrast = _nuclear_threshold(stain.violet, rarest)
    if contrast < MIN_CONTRAST:
        return None
    nuclei = stain.violet > threshold
    hues = _cytoplasm_hues(stain, nuclei)
    joined = dilated(eroded(_cytoplasm(stain, threshold, hues[0]))) | nuclei
    cells, _ = ndimage.label(joined)
    return Seen(background, stain, threshold, contrast, hues, nuclei, cells)


def leukocyte(image: NDArray[np.uint8], seen: Seen, nucleus: Mask, others: Mask) -> Leukocyte:
    """The cell of a nucleus. `nucleus` and `others`, further nuclei, are masks of the copy."""
    window, near = _surroundings(image, nucleus)
    seed, rivals = (_overlaid(mask, image.shape, window, near.shape) for mask in (nucleus, others))
    own = _own(seed, rivals)
    stain = absorbed(near, seen.background, sigma=0.7)
    return Leukocyte(_cell(stain, seed, own, seen.threshold, seen.hues), seed, *window)


def _nuclear_threshold(violet: Values, rarest: float = 0.001) -> tuple[float, float]:
    """Halfway between the means of nuclei and rest (Ridler and Calvard 1978), and their difference.

    Approached from above. Unlike Otsu's it holds for a nucleus that fills 1 % of the picture and
    for one that fills 80 %. The difference is 0 where there is nothing to tell apart.
    """
    counts, edges = np.histogram(violet, bins=512)
    levels = (edges[:-1] + edges[1:]) / 2
    mass = np.cumsum(counts)
    moment = np.cumsum(counts * levels)
    top = min(int(np.searchsorted(mass, (1 - rarest) * mass[-1])), levels.size - 1)
    middle = int(np.searchsorted(mass, 0.5 * mass[-1]))
    threshold = float(levels[top] + levels[middle]) / 2
    contrast = 0.0
    for _ in range(50):
        below = int(np.searchsorted(levels, threshold)) - 1
        if below < 0 or mass[below] in (0, mass[-1]):
            return threshold, 0.0
        low = moment[below] / mass[below]
        high = (moment[-1] - moment[below]) / (mass[-1] - mass[below])
        contrast = float(high - low)
        if abs((high + low) / 2 - threshold) < 1e-3:
            break
        threshold = float((high + low) / 2)
    return threshold, contrast


def _stands_alone(nucleus: Mask, violet: Mask) -> bool:
    """Whether the nucleus is compact and hardly anything else is violet."""
    area = np.count_nonzero(nucleus)
    return bool(area >= ALONE * np.count_nonzero(violet) and spread(nucleus) <= COMPACT)


def _cytoplasm_hues(stain: Stain, nuclei: Mask) -> tuple[float, ...]:
    """The hues from which on a pixel may be cytoplasm, after CYTOPLASM_HUES.

    Red cells are whatever is stained far from nuclei; where there are none (a picture cut close)
    the glass's hue, 0, stands in.
    """
    hue = stain.hue
    margin = max(1, round(0.5 * float(np.sqrt(np.count_nonzero(nuclei)))))
    near = ndimage.maximum_filter(nuclei.view(np.uint8), 2 * margin + 1)
    red = (near == 0) & (stain.density > FAINT)
    high = float(np.median(hue[nuclei]))
    low = float(np.median(hue[red])) if red.mean() > 0.01 else 0.0
    return tuple(low + share * (high - low) for share in CYTOPLASM_HUES)


def _cytoplasm(stain: Stain, threshold: float, hue: float) -> Mask:
    mask: Mask = (stain.hue > hue) & (stain.violet > CYTOPLASM_VIOLET * threshold)
    return mask


def _chosen(seen: Seen) -> tuple[Mask, Mask]:
    """The nucleus, all its lobes, of the largest and most central leukocyte; other nuclei.

    Lobes belong together when nucleus or cytoplasm joins them. A cell at the picture's edge must
    be CENTRAL times as large as one in the middle to be preferred.
    """
    nuclei, labels, count = seen.nuclei, seen.cells, int(seen.cells.max())
    rows, columns = np.nonzero(nuclei)
    cells = labels[rows, columns]
    areas = np.bincount(cells, minlength=count + 1)
    divisor = np.maximum(areas, 1)
    down = np.bincount(cells, rows, minlength=count + 1) / divisor / nuclei.shape[0] - 0.5
    across = np.bincount(cells, columns, minlength=count + 1) / divisor / nuclei.shape[1] - 0.5
    weights = areas / (1 + 4 * (CENTRAL - 1) * (down**2 + across**2))
    best = int(np.argmax(weights))
    rivals = areas > RIVAL * areas[best]
    rivals[best] = False
    return nuclei & (labels == best), nuclei & rivals[labels]


def _surroundings(
    image: NDArray[np.uint8], nucleus: Mask
) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
    """The rows and columns of the picture around the nucleus, and their copy in nuclear scale."""
    scales = np.array(image.shape[:2]) / nucleus.shape
    side = float(np.sqrt(np.count_nonzero(nucleus) * scales.prod()))
    spans = []
    found = ndimage.find_objects(nucleus.view(np.uint8))[0]
    for span, scale, length in zip(found, scales, image.shape, strict=False):
        start = max(0, round(span.start * scale - (REACH + 0.2) * side))
        stop = min(length, round(span.stop * scale + (REACH + 0.2) * side))
        spans.append(slice(start, stop))
    window = (spans[0], spans[1])
    part = image[window]
    size = [max(1, round(length * NUCLEUS_SIDE / side)) for length in part.shape[1::-1]]
    resample = Image.Resampling.BOX if side > NUCLEUS_SIDE else Image.Resampling.BILINEAR
    return window, np.asarray(Image.fromarray(part).resize((size[0], size[1]), resample))


def _overlaid(
    mask: Mask, image: tuple[int, ...], window: tuple[slice, slice], near: tuple[int, ...]
) -> Mask:
    """`mask`, which covers the image, sampled at the pixels of the window's copy."""
    picked = []
    for axis, span in enumerate(window):
        steps = (np.arange(near[axis]) + 0.5) / near[axis] * (span.stop - span.start) + span.start
        picked.append((steps * mask.shape[axis] / image[axis]).astype(np.intp))
    overlaid: Mask = mask[np.ix_(*picked)]
    return overlaid


def _own(nucleus: Mask, rivals: Mask) -> Mask:
    """Where this cell's cytoplasm may lie: within reach, and no nearer to another's nucleus."""
    distance = ndimage.distance_transform_edt(~nucleus)
    own: Mask = distance <= REACH * NUCLEUS_SIDE
    if rivals.any():
        own &= distance <= ndimage.distance_transform_edt(~rivals)
    return own


def _cell(
    stain: Stain, nucleus: Mask, own: Mask, threshold: float, hues: tuple[float, ...]
) -> Mask:
    """Nucleus and cytoplasm: the widest of the candidates that is convex enough."""
    best, best_solidity = nucleus, 0.0
    for hue in hues:
        around = eroded(dilated(_cytoplasm(stain, threshold, hue), 2), 2) & own
        labels, count = ndimage.label(opened_by_disc(around | nucleus) | nucleus)
        joined = np.zeros(count + 1, bool)
        joined[labels[nucleus]] = True
        cell = joined[labels]
        convexity = solidity(cell)
        if convexity > best_solidity:
            best, best_solidity = cell, convexity
        if convexity >= MIN_SOLIDITY:
            break
    return best


def bounds(mask: Mask, rows: slice, columns: slice) -> Box:
    """The box, in pixels of the picture, of a mask that lies over `rows` and `columns` of it."""
    down, across = ndimage.find_objects(mask.view(np.uint8))[0]
    y = (rows.stop - rows.start) / mask.shape[0]
    x = (columns.stop - columns.start) / mask.shape[1]
    return Box(
        columns.start + across.start * x,
        rows.start + down.start * y,
        columns.start + across.stop * x,
        rows.start + down.stop * y,
    )
