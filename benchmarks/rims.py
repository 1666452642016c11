"""Leukocytes cut out with a soft rim: how much of each pixel of a picture belongs to the cell.

The cell's outline is known to lose pale, wide cytoplasm, so it is widened by a share of the cell
before anything fades, and the fading is gradual.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wbc.localisation import Leukocyte

MARGIN: Final = 0.15  # of the cell's diameter, kept around its outline
FADE: Final = 0.15  # of the cell's diameter, beyond the margin: from all of the picture to none


def soft_rim(cell: Leukocyte, height: int, width: int) -> NDArray[np.float32]:
    """The share, height x width, 0 to 1, of a picture that is kept around its cell."""
    mask = cell.cell
    diameter = 2 * math.sqrt(np.count_nonzero(mask) / math.pi)
    reach = math.ceil((MARGIN + FADE) * diameter) + 1
    distance = ndimage.distance_transform_edt(~np.pad(mask, reach))
    gone = np.clip((distance / diameter - MARGIN) / FADE, 0, 1)
    share = (1 - gone * gone * (3 - 2 * gone)).astype(np.float32)  # smooth at both ends
    share = _between(share, _places(cell.rows, mask.shape[0], reach, height))
    return _between(share.T, _places(cell.columns, mask.shape[1], reach, width)).T


def _places(span: slice, num_rows: int, reach: int, height: int) -> NDArray[np.float64]:
    """Where the picture's rows lie among the rows of the mask, which has `reach` more around."""
    scale = (span.stop - span.start) / num_rows
    first = span.start + (0.5 - reach) * scale
    places: NDArray[np.float64] = (np.arange(height) + 0.5 - first) / scale
    return places


def _between(rows: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows at `places`, in between by straight lines, beyond the ends as the last one."""
    inside = np.clip(places, 0, len(rows) - 1)
    low = np.minimum(inside.astype(np.intp), max(0, len(rows) - 2))
    share = (inside - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, len(rows) - 1)
    return np.asarray(rows[low] * (1 - share) + rows[high] * share)
