"""Texture of nucleus and cytoplasm in green light: chromatin and granules.

Each region is measured in its own standard deviations, so that the texture does not repeat how
strongly the cell is stained; that is among the colours.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import graycomatrix, local_binary_pattern

from wbc.handmade.feature import Feature
from wbc.handmade.segmentation import Segmented
from wbc.masks import Mask

PARTS: Final = ("nucleus", "cytoplasm")
LEVELS: Final = 16  # grey levels of the co-occurrence matrix, over two deviations to each side
DISTANCES: Final = (1, 2, 4)  # pixels of the square of 128
ANGLES: Final = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
NEIGHBOURS: Final = 8  # of a local binary pattern
RADIUS: Final = 2  # pixels, of the ring they lie on
WIDTHS: Final = (3, 5, 7, 9)  # pixels: granules that an opening of this width removes
PROPERTIES: Final = ("contrast", "homogeneity", "energy", "correlation")

FEATURES: Final = tuple(
    feature
    for part in PARTS
    for feature in (
        *(
            Feature(f"{part}_{name}_{d}", "1", f"{name} of grey levels {d} pixels apart (GLCM)")
            for d in DISTANCES
            for name in PROPERTIES
        ),
        *(
            Feature(f"{part}_pattern_{i}", "share", f"local binary patterns with {i} darker in row")
            for i in range(NEIGHBOURS + 1)
        ),
        Feature(f"{part}_pattern_mixed", "share", "local binary patterns that change more often"),
        *(
            Feature(f"{part}_{kind}_{w}", "standard deviations", f"{kind} spots narrower than {w}")
            for kind in ("dark", "bright")
            for w in WIDTHS
        ),
    )
)


def measure(cell: Segmented, cytoplasm: Mask) -> dict[str, float]:
    """The values of FEATURES; `cytoplasm` is never empty."""
    values: dict[str, float] = {}
    for part, mask in zip(PARTS, (cell.nucleus, cytoplasm), strict=True):
        rows, columns = ndimage.find_objects(mask.view(np.uint8))[0]
        inside = mask[rows, columns]
        scores = _standardised(cell.densities[1][rows, columns].astype(np.float64), inside)
        values |= _named(f"{part}_", _co_occurrence(scores, inside))
        values |= _named(f"{part}_pattern_", _patterns(scores, inside))
        values |= _named(f"{part}_", _granularity(scores, inside))
    return values


def _named(prefix: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}{name}": value for name, value in values.items()}


def _standardised(density: NDArray[np.float64], mask: Mask) -> NDArray[np.float64]:
    """In standard deviations from the region's mean; 0 outside of it."""
    inside = density[mask]
    scores = (density - inside.mean()) / max(float(inside.std()), 0.01)
    return np.where(mask, scores, 0.0)


def _co_occurrence(scores: NDArray[np.float64], mask: Mask) -> dict[str, float]:
    """Haralick's measures over pairs of pixels that both lie in the region, all directions."""
    levels = np.clip((scores + 2) / 4 * LEVELS, 0, LEVELS - 1).astype(np.uint8) + 1
    counts = graycomatrix(
        np.where(mask, levels, 0).astype(np.uint8), DISTANCES, ANGLES, LEVELS + 1, symmetric=True
    )
    pairs = counts[1:, 1:].sum(axis=3).astype(np.float64)  # 0 is outside
    shares = pairs / np.maximum(pairs.sum(axis=(0, 1)), 1)
    values: dict[str, float] = {}
    for position, distance in enumerate(DISTANCES):
        measures = _haralick(shares[:, :, position])
        values |= {f"{n}_{distance}": x for n, x in zip(PROPERTIES, measures, strict=True)}
    return values


def _haralick(shares: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Contrast, homogeneity, energy, correlation of shares (LEVELS, LEVELS), symmetric."""
    i, j = np.indices(shares.shape)
    apart = ((i - j) ** 2).astype(np.float64)
    mean = float((i * shares).sum())
    variance = float(((i - mean) ** 2 * shares).sum())
    joint = float(((i - mean) * (j - mean) * shares).sum())
    correlation = joint / variance if variance > 1e-9 else 1.0
    return (
        float((apart * shares).sum()),
        float((shares / (1 + apart)).sum()),
        float(np.sqrt((shares**2).sum())),
        correlation,
    )


def _patterns(scores: NDArray[np.float64], mask: Mask) -> dict[str, float]:
    """Shares of the uniform local binary patterns (Ojala 2002) in the region."""
    grey = np.clip(scores * 32 + 128, 0, 255).astype(np.uint8)
    codes = local_binary_pattern(grey, NEIGHBOURS, RADIUS, "uniform")[mask].astype(np.int64)
    shares = np.bincount(codes, minlength=NEIGHBOURS + 2) / codes.size
    names = [*map(str, range(NEIGHBOURS + 1)), "mixed"]
    return {name: float(share) for name, share in zip(names, shares, strict=True)}


def _granularity(scores: NDArray[np.float64], mask: Mask) -> dict[str, float]:
    """What an opening (dark spots) or a closing (bright spots) takes away, on the mean."""
    values = {}
    for width in WIDTHS:
        values[f"dark_{width}"] = float((scores - ndimage.grey_opening(scores, width))[mask].mean())
        closed = ndimage.grey_closing(scores, width)
        values[f"bright_{width}"] = float((closed - scores)[mask].mean())
    return values
