"""Where the leukocyte lies in a stained smear, found by the colour of its nucleus.

The measure is chemistry, not a camera's look. In every Romanowsky stain (Giemsa,
May-Grünwald-Giemsa, Wright, Leishman) azure B and eosin bind to chromatin as a purple complex
that absorbs most at about 550 nm: green. Haemoglobin absorbs blue (Soret band, 415 nm) at least as
strongly as green. The difference of the optical densities of green and blue is therefore high in
leukocytes, highest in their nuclei, and near zero in red cells and in the bare background,
whatever the exposure; the background's own colour divides out (Beer-Lambert). All lengths are
shares of the picture or of the nucleus found.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

WORKING_SIDE: Final = 192  # pixels, longer side of the copy that is searched
BACKGROUND_SHARE: Final = 0.15  # of the pixels, the brightest in green, taken as background
MIN_CONTRAST: Final = 0.2  # optical density, nuclei over the rest; red cells reach about 0.1
MIN_NUCLEUS_SHARE: Final = 0.0008  # of the picture's area; smaller is a platelet or dirt


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


def background_colour(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """RGB (0 to 255) of the bare glass: the median of the pixels that are brightest in green.

    Green, because everything stained absorbs it; a median, because dust and halos shine brighter.
    image: H x W x 3.
    """
    small = _reduced(image)
    green = small[..., 1]
    bright = green >= np.quantile(green, 1 - BACKGROUND_SHARE)
    colour: NDArray[np.float64] = np.median(small[bright].astype(np.float64), axis=0)
    return colour


def locate(image: NDArray[np.uint8]) -> Box | None:
    """The bounding box of the leukocyte, nucleus and cytoplasm; None where there is none.

    image: H x W x 3, RGB. Among several the larger and the more central one is taken.
    """
    small = _reduced(image)
    violet = _violet(small, background_colour(image))
    threshold = _nuclear_threshold(violet)
    if threshold is None:
        return None
    labels, count = ndimage.label(ndimage.binary_closing(violet > threshold, iterations=2))
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    best = int(np.argmax(sizes))
    if sizes[best] < MIN_NUCLEUS_SHARE * violet.size:
        return None
    rows, columns = ndimage.find_objects(labels)[best]
    margin = 0.12 * float(np.sqrt(sizes[best]))
    scale_x = image.shape[1] / small.shape[1]
    scale_y = image.shape[0] / small.shape[0]
    return Box(
        max(0.0, (columns.start - margin) * scale_x),
        max(0.0, (rows.start - margin) * scale_y),
        min(float(image.shape[1]), (columns.stop + margin) * scale_x),
        min(float(image.shape[0]), (rows.stop + margin) * scale_y),
    )


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its longer side at most WORKING_SIDE, by averaging."""
    height, width = image.shape[:2]
    scale = max(height, width) / WORKING_SIDE
    if scale <= 1:
        return image
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def _violet(image: NDArray[np.uint8], background: NDArray[np.float64]) -> NDArray[np.float64]:
    """Optical density of green minus that of blue, over the background; slightly smoothed."""
    channels = image.astype(np.float64) + 1
    ratio = channels[..., 2] / channels[..., 1] * (background[1] + 1) / (background[2] + 1)
    return np.asarray(ndimage.gaussian_filter(np.log(ratio), 0.7), dtype=np.float64)


def _nuclear_threshold(violet: NDArray[np.float64]) -> float | None:
    """Halfway between the means of nuclei and rest (Ridler and Calvard 1978), from above."""
    threshold = float(np.quantile(violet, 0.999) + np.median(violet)) / 2
    for _ in range(20):
        above = violet > threshold
        if not above.any() or above.all():
            return None
        high, low = float(violet[above].mean()), float(violet[~above].mean())
        updated = (high + low) / 2
        if abs(updated - threshold) < 1e-3:
            break
        threshold = updated
    return threshold if high - low >= MIN_CONTRAST else None
