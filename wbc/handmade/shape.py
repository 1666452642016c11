"""Shape of nucleus and cell; all independent of the cell's turn and, but for areas, of its size."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import euler_number, perimeter

from wbc.handmade.feature import Feature
from wbc.handmade.segmentation import Segmented
from wbc.masks import Mask, solidity

THICK: Final = (0.5, 0.7)  # of the greatest thickness: what is thinner joins no lobes
RIM: Final = 0.1  # of the cell's radius: how near to the edge counts as touching it

FEATURES: Final = (
    Feature("found", "0 or 1", "a cell was found; 0: a central disc stands in for it"),
    Feature("cell_area", "share of the square", "area of nucleus and cytoplasm"),
    Feature("nucleus_area", "share of the square", "area of the nucleus"),
    Feature("nucleus_cell_ratio", "1", "nuclear area over cell area"),
    *(
        feature
        for part in ("cell", "nucleus")
        for feature in (
            Feature(f"{part}_roundness", "1", "4 pi area / perimeter squared; a disc has 1"),
            Feature(f"{part}_solidity", "1", "area over that of the convex hull"),
            Feature(f"{part}_eccentricity", "1", "of the ellipse with equal moments; a disc has 0"),
            Feature(f"{part}_spread", "1", "root of the moment of inertia over that of a disc"),
        )
    ),
    Feature("nucleus_pieces", "count", "separate parts of the nucleus"),
    Feature("nucleus_holes", "count", "holes in the nucleus (a ring has 1)"),
    Feature("nucleus_lobes_50", "count", "parts at least 50 % as thick as the thickest place"),
    Feature("nucleus_lobes_70", "count", "parts at least 70 % as thick as the thickest place"),
    Feature("nucleus_thickness", "1", "greatest inner radius over that of a disc of equal area"),
    Feature("nucleus_thickness_mean", "1", "mean distance to the edge over that in such a disc"),
    Feature("nucleus_offset", "cell radii", "distance between the centres of nucleus and cell"),
    Feature("nucleus_at_rim", "share", "of the cell's rim, what is nucleus"),
)


def measure(cell: Segmented) -> dict[str, float]:
    """The values of FEATURES."""
    whole, nucleus = cell.cell, cell.nucleus
    radius = math.sqrt(whole.sum() / math.pi)
    depth = ndimage.distance_transform_edt(nucleus)
    rim = whole & (ndimage.distance_transform_edt(np.pad(whole, 1))[1:-1, 1:-1] <= RIM * radius + 1)
    pieces = _count(nucleus)
    disc = math.sqrt(nucleus.sum() / math.pi)  # the radius of a disc of the nucleus's area
    offset = np.subtract(ndimage.center_of_mass(whole), ndimage.center_of_mass(nucleus))
    return {
        "found": float(cell.found),
        "cell_area": float(whole.mean()),
        "nucleus_area": float(nucleus.mean()),
        "nucleus_cell_ratio": float(nucleus.sum() / whole.sum()),
        **_outline("cell", whole),
        **_outline("nucleus", nucleus),
        "nucleus_pieces": float(pieces),
        "nucleus_holes": float(pieces - euler_number(nucleus, connectivity=1)),
        "nucleus_lobes_50": float(_count(depth >= THICK[0] * depth.max())),
        "nucleus_lobes_70": float(_count(depth >= THICK[1] * depth.max())),
        "nucleus_thickness": float(depth.max() / disc),
        "nucleus_thickness_mean": float(3 * depth[nucleus].mean() / disc),
        "nucleus_offset": float(np.hypot(*offset) / radius),
        "nucleus_at_rim": float(nucleus[rim].mean()),
    }


def _outline(part: str, mask: Mask) -> dict[str, float]:
    area = float(mask.sum())
    long, short = _axes(mask)
    return {
        f"{part}_roundness": 4 * math.pi * area / max(float(perimeter(mask)), 1.0) ** 2,
        f"{part}_solidity": solidity(mask),
        f"{part}_eccentricity": math.sqrt(max(0.0, 1 - short / long)),
        f"{part}_spread": math.sqrt((long + short) * 2 * math.pi / area),
    }


def _axes(mask: Mask) -> tuple[float, float]:
    """Variances along the long and the short axis, in square pixels; a pixel alone has 1/12."""
    points: NDArray[np.float64] = np.argwhere(mask).astype(np.float64)
    centred = points - points.mean(axis=0)
    covariance = centred.T @ centred / len(points) + np.eye(2) / 12
    short, long = np.linalg.eigvalsh(covariance)
    return float(long), float(short)


def _count(mask: Mask) -> int:
    return int(ndimage.label(mask)[1])
