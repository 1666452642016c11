"""What a cell looks like in 214 numbers of colour and texture, without any trained network.

Histograms of optical density (Beer & Lambert: the amount of stain) and of stain colour, mean and
spread of density in rings around the middle, where the nucleus lies, and differences of
neighbours at four scales (granules are fine, lobes coarse). Made for finding cells that are unlike
their kind (wbc.label_quality), where they beat a network pretrained on photographs
(docs/data_quality.md).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wbc.pixels import PixelStore

SIDE = 64  # pixels; finer pictures were no better
_RINGS = ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.2))  # of half the side
_BINS, _COLOUR_BINS, _SCALES = 24, 10, 4
_DENSEST = 2.4  # optical density, natural logarithm
_COLOURS = ((-0.6, 1.0), (-1.0, 0.6))  # green less blue, red less green density

Floats = NDArray[np.float64]


def describe(store: PixelStore, batch_size: int = 256) -> Floats:
    """Descriptors (N, 214) of all cells of a store, in its order; about 3 ms a cell."""
    return np.array([descriptor(cell) for batch in store.batches(batch_size) for cell in batch])


def descriptor(pixels: NDArray[np.uint8]) -> Floats:
    """Of one square (S, S, 3). Histograms are square roots of shares (Hellinger's distance)."""
    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
    density = -np.log((np.asarray(small, np.float64) + 1) / 256)
    flat = density.reshape(-1, 3)
    histograms = [np.histogram(flat[:, c], _BINS, (0, _DENSEST))[0] for c in range(3)]
    colours = flat[:, 1] - flat[:, 2], flat[:, 0] - flat[:, 1]
    histograms.append(np.histogram2d(*colours, _COLOUR_BINS, _COLOURS)[0].ravel())
    inside = [flat[ring] for ring in _ring_masks()]
    rings = [ring.mean(axis=0) for ring in inside] + [ring.std(axis=0) for ring in inside]
    shares = np.concatenate(histograms) / len(flat)
    return np.concatenate([np.sqrt(shares), *rings, _roughness(density)])


def _roughness(density: Floats) -> Floats:
    """Mean absolute difference of neighbours in each channel, at scales of 1, 2, 4 and 8 pixels."""
    found = []
    for _ in range(_SCALES):
        down = np.abs(np.diff(density, axis=0)).mean(axis=(0, 1))
        found.append(down + np.abs(np.diff(density, axis=1)).mean(axis=(0, 1)))
        half = len(density) // 2
        density = density.reshape(half, 2, half, 2, 3).mean(axis=(1, 3))
    return np.concatenate(found)


@cache
def _ring_masks() -> list[NDArray[np.bool_]]:
    offsets = (np.arange(SIDE) + 0.5) / (SIDE / 2) - 1
    radius = np.hypot(*np.meshgrid(offsets, offsets)).ravel()
    return [(radius >= inner) & (radius < outer) for inner, outer in _RINGS]
