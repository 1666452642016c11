"""Where the leukocyte lies in a stained smear, found by the colour of its nucleus.

The measure is chemistry, not a camera's look. In every Romanowsky stain (Giemsa,
May-Grünwald-Giemsa, Wright, Leishman) azure B and eosin bind to chromatin as a purple complex
that absorbs most at about 550 nm: green. Haemoglobin absorbs blue (Soret band, 415 nm) at least as
strongly as green. The difference of the optical densities of green and blue is therefore high in
leukocytes, highest in their nuclei, and near zero in red cells and on the bare glass, whatever
the exposure; the lamp's colour divides out (Beer-Lambert). Divided by the density it becomes a
hue, the same in thin cytoplasm as in thick. docs/localisation.md gives figures and failures.

All lengths are shares of the picture or of the nucleus found, never pixels of the picture.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

Mask = NDArray[np.bool_]
Values = NDArray[np.float32]

WORKING_SIDE: Final = 144  # pixels, longer side of the copy in which the nucleus is looked for
NUCLEUS_SIDE: Final = 24  # pixels, root of the nucleus's area in the copy that shows its cell
BACKGROUND_SHARE: Final = 0.15  # of the pixels, the brightest in green: bare glass
FAINT: Final = 0.1  # optical density; less is haze, sensor noise or uneven light
MIN_CONTRAST: Final = 0.2  # violet of nuclei over the rest; red cells alone differ by about 0.1
MIN_NUCLEUS_SHARE: Final = 0.0008  # of the picture's area; smaller is a platelet or dirt
CYTOPLASM_VIOLET: Final = 0.25  # of the nuclear threshold; less violet than this is no cytoplasm
REACH: Final = 0.8  # of the nucleus's side: how far cytoplasm goes beyond the nucleus
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
class Stain:
    """What the stain absorbs at each pixel (H x W), in natural logarithms."""

    violet: Values  # optical density of green minus that of blue
    density: Values  # the largest of the three channels' optical densities

    @property
    def hue(self) -> Values:
        """Violet per density: independent of thickness; near 0 where hardly anything absorbs."""
        hue: Values = self.violet / (np.maximum(self.density, np.float32(0)) + np.float32(FAINT))
        return hue


def background_colour(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """RGB (0 to 255) of the bare glass: the median of the pixels that are brightest in green.

    Green, because everything stained absorbs it; a median, because dust and halos shine brighter.
    image: H x W x 3.
    """
    return _background(_reduced(image))


def locate(image: NDArray[np.uint8]) -> Box | None:
    """The bounding box of the leukocyte, nucleus and cytoplasm; None where there is none.

    image: H x W x 3, RGB. Among several the larger and the more central one is taken. The nucleus
    is looked for in a reduced copy of the whole picture, the cell's rim in a copy of the nucleus's
    surroundings that is scaled to the nucleus, so that every magnification is treated alike.
    """
    small = _reduced(image)
    background = _background(small)
    stain = _stain(small, background, sigma=1.0)
    threshold = _nuclear_threshold(stain.violet)
    if threshold is None:
        return None
    hues = _cytoplasm_hues(stain, stain.violet > threshold)
    nucleus = _nucleus(stain, threshold, hues[0])
    if nucleus is None:
        return None
    window, near = _surroundings(image, nucleus)
    seed = _overlaid(nucleus, image.shape, window, near.shape)
    cell = _cell(_stain(near, background, sigma=0.7), seed, threshold, hues)
    return _box(cell, window)


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its longer side at most WORKING_SIDE, by averaging."""
    height, width = image.shape[:2]
    scale = max(height, width) / WORKING_SIDE
    if scale <= 1:
        return image
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def _background(small: NDArray[np.uint8]) -> NDArray[np.float64]:
    green = small[..., 1]
    bright = green >= np.quantile(green, 1 - BACKGROUND_SHARE)
    colour: NDArray[np.float64] = np.median(small[bright], axis=0)
    return colour


def _stain(image: NDArray[np.uint8], background: NDArray[np.float64], sigma: float) -> Stain:
    """Beer-Lambert: density = log(background / light).

    Smoothed by `sigma` pixels, against noise and against the violet and yellow rims that lateral
    chromatic aberration gives to the opposite sides of a red cell.
    """
    table = np.log(np.arange(1, 257, dtype=np.float32))
    glass = np.log(background.astype(np.float32) + 1)
    red, green, blue = (
        ndimage.gaussian_filter(glass[channel] - table[image[..., channel]], sigma, truncate=3)
        for channel in range(3)
    )
    return Stain(green - blue, np.maximum(np.maximum(red, green), blue))


def _nuclear_threshold(violet: Values) -> float | None:
    """Halfway between the means of nuclei and rest (Ridler and Calvard 1978), from above.

    Unlike Otsu's it holds for a nucleus that fills 1 % of the picture and for one that fills 80 %.
    """
    counts, edges = np.histogram(violet, bins=512)
    levels = (edges[:-1] + edges[1:]) / 2
    mass = np.cumsum(counts)
    moment = np.cumsum(counts * levels)
    top = min(int(np.searchsorted(mass, 0.999 * mass[-1])), levels.size - 1)
    middle = int(np.searchsorted(mass, 0.5 * mass[-1]))
    threshold = float(levels[top] + levels[middle]) / 2
    contrast = 0.0
    for _ in range(50):
        below = int(np.searchsorted(levels, threshold)) - 1
        if below < 0 or mass[below] in (0, mass[-1]):
            return None
        low = moment[below] / mass[below]
        high = (moment[-1] - moment[below]) / (mass[-1] - mass[below])
        contrast = float(high - low)
        if abs((high + low) / 2 - threshold) < 1e-3:
            break
        threshold = float((high + low) / 2)
    return threshold if contrast >= MIN_CONTRAST else None


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


def _nucleus(stain: Stain, threshold: float, hue: float) -> Mask | None:
    """The nucleus, all its lobes, of the largest and most central leukocyte.

    Lobes belong together when nucleus or cytoplasm joins them.
    """
    nuclei = stain.violet > threshold
    labels, count = ndimage.label(
        ndimage.binary_opening(_cytoplasm(stain, threshold, hue)) | nuclei
    )
    rows, columns = np.nonzero(nuclei)
    cells = labels[rows, columns]
    areas = np.maximum(np.bincount(cells, minlength=count + 1), 1)
    height, width = nuclei.shape
    down = np.bincount(cells, rows, minlength=count + 1) / areas / height - 0.5
    across = np.bincount(cells, columns, minlength=count + 1) / areas / width - 0.5
    best = int(np.argmax(areas * np.exp(-4 * (down**2 + across**2))))
    if areas[best] < max(2, MIN_NUCLEUS_SHARE * nuclei.size):
        return None
    nucleus: Mask = nuclei & (labels == best)
    return nucleus


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


def _cell(stain: Stain, nucleus: Mask, threshold: float, hues: tuple[float, ...]) -> Mask:
    """Nucleus and cytoplasm: the widest of the candidates that is convex enough."""
    reach = ndimage.distance_transform_edt(~nucleus) <= REACH * NUCLEUS_SIDE
    best, best_solidity = nucleus, 0.0
    for hue in hues:
        around = ndimage.binary_closing(_cytoplasm(stain, threshold, hue), iterations=2) & reach
        labels, _ = ndimage.label(ndimage.binary_opening(around | nucleus, DISC) | nucleus)
        cell = np.isin(labels, np.unique(labels[nucleus]))
        solidity = _solidity(cell)
        if solidity > best_solidity:
            best, best_solidity = cell, solidity
        if solidity >= MIN_SOLIDITY:
            break
    return best


def _solidity(mask: Mask) -> float:
    """Area over that of the convex hull; 1 for what is too thin to have one."""
    rim = mask & ~ndimage.binary_erosion(mask)
    points = np.argwhere(rim)
    corners = np.concatenate([points + corner for corner in ((0, 0), (0, 1), (1, 0), (1, 1))])
    try:
        return float(np.count_nonzero(mask) / ConvexHull(corners).volume)
    except QhullError:
        return 1.0


def _box(cell: Mask, window: tuple[slice, slice]) -> Box:
    """The bounds of `cell`, a mask over the window, in pixels of the picture."""
    rows, columns = ndimage.find_objects(cell.view(np.uint8))[0]
    y = (window[0].stop - window[0].start) / cell.shape[0]
    x = (window[1].stop - window[1].start) / cell.shape[1]
    return Box(
        window[1].start + columns.start * x,
        window[0].start + rows.start * y,
        window[1].start + columns.stop * x,
        window[0].start + rows.stop * y,
    )


def _disc(radius: int) -> Mask:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc: Mask = x * x + y * y <= radius * radius + 1
    return disc


DISC: Final = _disc(3)
