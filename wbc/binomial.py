"""95 % intervals of a share of independent cells."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL: Final = 0.95

Floats = NDArray[np.float64]


def clopper_pearson(num_right: Any, num_cells: Any) -> tuple[Any, Any]:
    """The exact 95 % interval of a share (Clopper and Pearson 1934), numbers or arrays.

    5 of 100: 1.6 to 11.3 %; 0 of 100: 0 to 3.6 %.
    """
    outside = (1 - LEVEL) / 2
    x, n = np.asarray(num_right, dtype=np.float64), np.asarray(num_cells, dtype=np.float64)
    low = np.where(x > 0, stats.beta.ppf(outside, np.maximum(x, 1), n - x + 1), 0.0)
    high = np.where(x < n, stats.beta.ppf(1 - outside, x + 1, np.maximum(n - x, 1)), 1.0)
    return low[()], high[()]


def wilson(num_right: Floats, num_cells: Floats) -> tuple[Floats, Floats]:
    """Wilson's score interval of shares (1927); unlike the exact one it is right on average."""
    z = stats.norm.ppf((1 + LEVEL) / 2)
    share = num_right / num_cells
    middle = share + z**2 / (2 * num_cells)
    half = z * np.sqrt(share * (1 - share) / num_cells + z**2 / (4 * num_cells**2))
    scale = 1 + z**2 / num_cells
    return np.maximum((middle - half) / scale, 0.0), np.minimum((middle + half) / scale, 1.0)
