"""What a laboratory's pictures look like, in numbers that a person can act on.

Each statistic is one number for a stored square, taken before any network sees it. Two
laboratories are compared by the standardised difference of each (how many standard deviations
apart) and by how much of their distributions overlaps.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from wbc.augment import DYES_INVERSE
from wbc.staining import Stain, absorbed, background_colour, reduced

Pixels = NDArray[np.uint8]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Statistic:
    """`name` is its column, `title` its name in figures, `low` and `high` what its ends mean.

    `grain`: the smallest step it can make; a smaller spread is none.
    """

    name: str
    title: str
    low: str
    high: str
    grain: float = 0.0


STATISTICS: Final = (
    Statistic("background_brightness", "background: brightness", "darker", "brighter", 1.0),
    Statistic("background_warmth", "background: red minus blue", "bluer", "yellower", 1.0),
    Statistic("brightness", "whole square: brightness", "darker", "brighter"),
    Statistic("contrast", "whole square: contrast", "flatter", "harder"),
    Statistic("azure", "azure dye, optical density", "paler", "more azure"),
    Statistic("eosin", "eosin dye, optical density", "paler", "more eosin"),
    Statistic("nucleus_density", "nucleus: optical density", "paler", "darker"),
    Statistic("nucleus_hue", "nucleus: violet per density", "bluer or greyer", "more violet"),
    Statistic("nucleus_saturation", "nucleus: colour saturation", "greyer", "more colourful"),
    Statistic("sharpness", "sharpness: log Laplacian variance", "more blurred", "sharper"),
)
NAMES: Final = tuple(statistic.name for statistic in STATISTICS)

LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
NUCLEUS_SHARE: Final = 0.1  # of a square, its most violet pixels: nucleus in every class of cell
NUM_BINS: Final = 10


def picture_statistics(cells: Iterable[Pixels]) -> pd.DataFrame:
    """One row a square (S, S, 3), one column a statistic of STATISTICS.

    Brightness, warmth, contrast: of 255. Dyes and densities: natural logarithms of glass over
    light (Beer-Lambert); dyes as means over the square, by wbc.augment's vectors of Giemsa.
    Sharpness: log10 of the variance of the Laplacian (Pech-Pacheco et al. 2000, ICPR) of the grey
    square (0 to 255).
    """
    return pd.DataFrame([_statistics(cell) for cell in cells], columns=list(NAMES))


def _statistics(cell: Pixels) -> tuple[float, ...]:
    grey = cell.astype(np.float32) @ LUMA
    background = background_colour(cell)
    small = reduced(cell)
    stain = absorbed(small, background, sigma=1.0)
    nucleus = stain.violet >= np.quantile(stain.violet, 1 - NUCLEUS_SHARE)
    azure, eosin = _dyes(small, background)
    return (
        float(background.mean()),
        float(background[0] - background[2]),
        float(grey.mean()),
        float(grey.std()),
        azure,
        eosin,
        *_nucleus(small, stain, nucleus),
        float(np.log10(ndimage.laplace(grey).var() + 1e-3)),
    )


def _dyes(cell: Pixels, background: Numbers) -> tuple[float, float]:
    """Mean amounts of azure and eosin: the mean density, unmixed (which is linear)."""
    light = np.log(np.arange(1, 257, dtype=np.float64))
    mean_density = np.log(background + 1) - light[cell].mean(axis=(0, 1))
    azure, eosin = DYES_INVERSE.numpy().astype(np.float64) @ mean_density
    return float(azure), float(eosin)


def _nucleus(cell: Pixels, stain: Stain, nucleus: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Medians over the nucleus: density, violet per density, saturation (of HSV, 0 to 1)."""
    colours = cell[nucleus].astype(np.float64)
    saturation = 1 - colours.min(axis=1) / np.maximum(colours.max(axis=1), 1)
    return (
        float(np.median(stain.density[nucleus])),
        float(np.median(stain.hue[nucleus])),
        float(np.median(saturation)),
    )


def compare_statistics(reference: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """One row a statistic: `difference` (standardised), `overlap` (0 to 1) and both medians.

    Both are rows of `picture_statistics`. Columns: statistic, reference_median, median,
    difference, overlap.
    """
    rows = []
    for name, grain in ((statistic.name, statistic.grain) for statistic in STATISTICS):
        a, b = reference[name].to_numpy(), other[name].to_numpy()
        medians = float(np.median(a)), float(np.median(b))
        rows.append((name, *medians, robust_difference(a, b, grain), overlap(a, b)))
    columns = ["statistic", "reference_median", "median", "difference", "overlap"]
    return pd.DataFrame(rows, columns=columns)


def robust_difference(reference: Numbers, other: Numbers, grain: float = 0.0) -> float:
    """Cohen's d from medians: their difference over the spread within the two, pooled.

    The spread is 1.4826 times the median absolute deviation, the standard deviation of normal
    data; pooled as the root of the mean square. Medians, because dust and cells that were cut
    wrongly make outliers. The spread counts as `grain` at least: where all backgrounds are alike
    (glass that is clipped to white), a single grey level is no difference. Without any spread it is
    0 for equal medians, else ±99.
    """
    distance = float(np.median(other) - np.median(reference))
    spread = float(np.sqrt((_deviation(reference) ** 2 + _deviation(other) ** 2) / 2))
    spread = max(spread, grain)
    if distance == 0:
        return 0.0
    return float(np.clip(distance / spread, -99, 99)) if spread else math.copysign(99, distance)


def _deviation(values: Numbers) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def overlap(reference: Numbers, other: Numbers) -> float:
    """The share that two distributions have in common (Inman and Bradley 1989), 0 to 1.

    The sum, over bins that each hold a tenth of the reference, of the smaller of both shares.
    """
    edges = np.quantile(reference, np.linspace(0, 1, NUM_BINS + 1)[1:-1])
    shares = [
        np.bincount(np.searchsorted(edges, x, side="right"), minlength=NUM_BINS) / len(x)
        for x in (reference, other)
    ]
    return float(np.minimum(*shares).sum())
