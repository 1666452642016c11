"""Masks of pictures: their shape, and what a neighbourhood adds to them or takes away.

By shifts of whole arrays where that is faster than scipy's morphology; tests hold one to the other.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

Mask = NDArray[np.bool_]


def spread(mask: Mask) -> float:
    """The second moment over that of a disc of the same area: 1 for a disc, higher for all else."""
    rows, columns = np.nonzero(mask)
    return 2 * math.pi * float(rows.var() + columns.var()) / len(rows)


def solidity(mask: Mask) -> float:
    """Area over that of the convex hull, of whose corners only the ends of rows can be one."""
    rows = np.flatnonzero(mask.any(axis=1))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = [np.stack([y, x], axis=1) for y in (rows, rows + 1) for x in (left, right)]
    return float(np.count_nonzero(mask) / ConvexHull(np.concatenate(corners)).volume)


def dilated(mask: Mask, times: int = 1) -> Mask:
    """The mask and its neighbours above, below, left and right."""
    for _ in range(times):
        wider = mask.copy()
        wider[1:] |= mask[:-1]
        wider[:-1] |= mask[1:]
        wider[:, 1:] |= mask[:, :-1]
        wider[:, :-1] |= mask[:, 1:]
        mask = wider
    return mask


def _dilated_by_disc(mask: Mask) -> Mask:
    """By the disc of radius 3 (x² + y² <= 10), which is a square of 3 widened twice by a cross."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    square = wide.copy()
    square[1:] |= wide[:-1]
    square[:-1] |= wide[1:]
    return dilated(square, 2)


def eroded(mask: Mask, times: int = 1) -> Mask:
    """What remains where nothing outside the mask, or outside the picture, is a neighbour."""
    outside = np.pad(~mask, times, constant_values=True)
    return ~dilated(outside, times)[times:-times, times:-times]


def opened_by_disc(mask: Mask) -> Mask:
    """What discs of radius 3 inside the mask can cover."""
    outside = np.pad(~mask, 3, constant_values=True)
    return _dilated_by_disc(~_dilated_by_disc(outside)[3:-3, 3:-3])
