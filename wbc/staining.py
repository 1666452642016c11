"""What the stain absorbs at each pixel: the colours by which a leukocyte is told from the rest.

The measure is chemistry, not a camera's look. In every Romanowsky stain (Giemsa,
May-Grünwald-Giemsa, Wright, Leishman) azure B and eosin bind to chromatin as a purple complex
that absorbs most at about 550 nm: green. Haemoglobin absorbs blue (Soret band, 415 nm) at least as
strongly as green. The difference of the optical densities of green and blue is therefore high in
leukocytes, highest in their nuclei, and near zero in red cells and on the bare glass, whatever
the exposure; the lamp's colour divides out (Beer-Lambert). Divided by the density it becomes a
hue, the same in thin cytoplasm as in thick.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Values = NDArray[np.float32]

WORKING_SIDE: Final = 144  # pixels, longer side of the copy in which whole pictures are judged
BACKGROUND_SHARE: Final = 0.15  # of the pixels, the brightest in green: bare glass
BLACK: Final = 0.05  # of the glass's light; darker in all channels is no stain but a stop or rim
FAINT: Final = 0.1  # optical density; less is haze, sensor noise or uneven light


@dataclass(frozen=True)
class Stain:
    """What the stain absorbs at each pixel (H x W), in natural logarithms."""

    violet: Values  # optical density of green minus that of blue
    density: Values  # the largest of the three channels' optical densities

    @cached_property
    def hue(self) -> Values:
        """Violet per density: independent of thickness; near 0 where hardly anything absorbs."""
        return np.asarray(self.violet / (np.maximum(self.density, 0) + FAINT), dtype=np.float32)


def reduced(image: NDArray[np.uint8], side: int = WORKING_SIDE) -> NDArray[np.uint8]:
    """The picture with its longer side at most `side`, by averaging."""
    height, width = image.shape[:2]
    scale = max(height, width) / side
    if scale <= 1:
        return image
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def background_colour(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """RGB (0 to 255) of the bare glass: the median of the pixels that are brightest in green.

    Green, because everything stained absorbs it; a median, because dust and halos shine brighter.
    image: H x W x 3; a large one is judged by its reduced copy.
    """
    small = reduced(image)
    green = small[..., 1]
    bright = small[green >= _quantile(green, 1 - BACKGROUND_SHARE)]
    return np.array([_quantile(bright[:, channel], 0.5) for channel in range(3)])


def _quantile(values: NDArray[np.uint8], share: float) -> float:
    """As np.quantile, by counting: a tenth of the time for many bytes."""
    ends = np.cumsum(np.bincount(values.ravel(), minlength=256))
    place = share * (values.size - 1)
    low, high = np.searchsorted(ends, [int(place), math.ceil(place)], side="right")
    return float(low + (place - int(place)) * (high - low))


def absorbed(image: NDArray[np.uint8], background: NDArray[np.float64], sigma: float) -> Stain:
    """Beer-Lambert: density = log(background / light).

    Smoothed by `sigma` pixels, against noise and against the violet and yellow rims that lateral
    chromatic aberration gives to the opposite sides of a red cell. Black is grey: the ratio of two
    channels that hardly receive light is noise.
    """
    table = np.log(np.arange(1, 257, dtype=np.float32))
    glass = np.log(background.astype(np.float32) + 1)
    densities = np.stack([glass[channel] - table[image[..., channel]] for channel in range(3)])
    densities[:, densities.min(axis=0) > -np.log(BLACK)] = -np.log(BLACK)
    smooth = ndimage.gaussian_filter(densities, sigma, truncate=3, axes=(1, 2))
    return Stain(smooth[1] - smooth[2], smooth.max(axis=0))
