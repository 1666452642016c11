"""The light on the bare glass of a picture, and the picture with that light made neutral and even.

Optics, not stain: a gain per channel (a camera's white balance) and a field (lopsided lamps,
vignettes) are undone, both read off the bare glass. What the stain absorbs relative to the glass
stays as it is. For a camera whose values are a power of the light (gamma), a gain of the light is
a gain of the values as well.

What is glass is decided by physics that holds for every stained smear:

- Nothing is brighter. The glass's light is the upper envelope of the picture, over which a plane
  with a bulge lies (lamps are lopsided, lenses darken outwards).
- Nothing lies on it. Glass is flat, and many pixels share its light; stained matter ends in a
  gradual tail. So there is a peak at the bright end, and less below it.
- Nothing is brighter in any one channel. The palest red cell is outshone in blue by a bluish cell,
  a pale cytoplasm in red by red cells.
- Lamps are yellow or blue, never magenta: green lies between red and blue for every temperature of
  a black body. Stained matter absorbs green most.

How far each holds makes a trust from 0 to 1. Gains are raised to the power of the trust: a picture
cut into a cell keeps its colours, and no two pictures that are nearly alike are treated unlike.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wbc.staining import reduced

Values = NDArray[np.float64]

# What glass becomes, in all channels: near what cameras are exposed to, so that gains are near 1,
# with 6 % left above it for noise and for the bright rims that defocus draws around cells.
NEUTRAL: Final = 240
SAME: Final = 0.05  # natural logarithm of light: what is as bright as the glass, but for noise
FLAT: Final = 0.04  # natural logarithm of light over 3 x 3 pixels: no edge, no texture
STIFF: Final = 0.002  # of all pixels: the weight of an even light in the fit, against few pixels
STAINED: Final = 0.02  # weight of pixels below the envelope while it is looked for
DARK: Final = 0.7  # natural logarithm of light below the glass: no news about the glass
SLOPE: Final = 0.5  # natural logarithm of light: the most that a lamp or a lens changes by
EXPOSURE: Final = 3.0  # the most that green may be multiplied by: glass below 80 is a dark picture
LAMP: Final = 0.4  # natural logarithm: red over green, and green over blue, of any lamp
STEPS: Final = 4096  # a coefficient's steps in 1: another processor's last digits do not matter
# Ramps of trust, (none, full): share of the picture that is glass; of the glass among what is at
# most three times SAME below it; green over red and blue; share that outshines the glass in one
# channel.
SHARES: Final = (0.01, 0.03)
PEAK: Final = (0.45, 0.6)
TINT: Final = (-0.14, -0.07)
OUTSHINES: Final = (0.06, 0.02)


@dataclass(frozen=True)
class Light:
    """The gains that make a picture's glass NEUTRAL everywhere: the product of both factors."""

    across: NDArray[np.float32]  # picture's width x 3
    down: NDArray[np.float32]  # picture's height x 3


def light_of(image: NDArray[np.uint8]) -> Light | None:
    """The light of a picture, H x W x 3; None where no glass is to be seen.

    Judged in a copy of at most 144 pixels, smoothed against noise.
    """
    table = np.log(np.maximum(np.arange(256, dtype=np.float64), 1))
    logs = ndimage.uniform_filter(table[reduced(image)], (3, 3, 1))
    terms = _terms(logs.shape[:2])
    green = logs[..., 1].ravel()
    envelope = _envelope(terms, green)
    glass = _flat(logs[..., 1]).ravel()
    for tolerance in (3 * SAME, 2 * SAME, SAME):
        near = glass & (np.abs(green - terms @ envelope) < tolerance)
        if np.count_nonzero(near) < SHARES[0] * near.size:
            return None
        envelope = _fit(terms[near], green[near], near.size)
    field = _fit(terms[near], logs.reshape(-1, 3)[near], near.size)
    trust = _trust(logs.reshape(-1, 3), terms @ field, near)
    return _gains(field, trust, terms[near], image.shape[:2]) if trust > 0 else None


def neutralised(
    part: NDArray[np.uint8], light: Light, rows: slice, columns: slice
) -> NDArray[np.uint8]:
    """The `rows` and `columns` of the picture, whose pixels are `part`, with neutral glass."""
    gains = light.down[rows, None] * light.across[None, columns]
    gains *= part
    gains += 0.5
    return np.minimum(gains, 255, out=gains).astype(np.uint8)


@lru_cache(maxsize=8)
def _terms(shape: tuple[int, ...]) -> Values:
    """One row a pixel: 1, x, y, and the bulges of x and y, each without a mean; x, y in -1 to 1.

    No x times y: a tilted plane with a round bulge about any centre has none, and without it the
    gains are a product of one factor a column and one a row.
    """
    y, x = (_places(length) for length in shape)
    ones = np.ones(shape)
    columns = (ones, x * ones, y[:, None] * ones, _bulge(x) * ones, _bulge(y)[:, None] * ones)
    return np.stack(columns, axis=-1).reshape(-1, len(columns))


def _places(length: int) -> Values:
    return (2 * np.arange(length) + 1) / length - 1


def _bulge(places: Values) -> Values:
    return places**2 - 1 / 3


def _fit(terms: Values, logs: Values, size: int, weights: Values | None = None) -> Values:
    """Least squares, drawn towards an even light by STIFF times `size` pixels."""
    weighted = terms if weights is None else terms * weights[:, None]
    stiffness = STIFF * size * np.diag([0.0, 1, 1, 1, 1])
    return np.asarray(np.linalg.solve(weighted.T @ terms + stiffness, weighted.T @ logs))


def _envelope(terms: Values, green: Values) -> Values:
    """The upper envelope, by asymmetric least squares (Eilers 2004, Anal Chem 76, 404)."""
    terms, green = terms[::3], green[::3]  # enough for a first guess
    fitted = np.full(green.shape, np.quantile(green, 0.9))
    for _ in range(6):
        above = green - fitted
        weights = np.where(above > 0, 1.0, np.where(above > -DARK, STAINED, 0.0))
        coefficients = _fit(terms, green, green.size, weights)
        fitted = terms @ coefficients
    return coefficients


def _flat(logs: Values) -> NDArray[np.bool_]:
    spread = ndimage.maximum_filter(logs, 3) - ndimage.minimum_filter(logs, 3)
    return np.asarray(spread < FLAT)


def _trust(logs: Values, field: Values, near: NDArray[np.bool_]) -> float:
    """How sure it is that what was fitted is glass, 0 to 1. logs, field: pixels x 3."""
    above = logs - field
    below = np.count_nonzero((above[:, 1] < -SAME) & (above[:, 1] > -3 * SAME))
    level = np.count_nonzero(np.abs(above[:, 1]) <= SAME)
    red, green, blue = field[near].mean(axis=0)
    outshines = max(np.mean(above[:, channel] > 2 * SAME) for channel in (0, 2))
    return min(
        _ramp(np.count_nonzero(near) / near.size, SHARES),
        _ramp(level / max(1, level + below), PEAK),
        _ramp(green - (red + blue) / 2, TINT),
        _ramp(float(outshines), OUTSHINES),
    )


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """0 at the first end, 1 at the second."""
    return float(np.clip((value - ends[0]) / (ends[1] - ends[0]), 0, 1))


def _gains(field: Values, trust: float, seen: Values, shape: tuple[int, ...]) -> Light:
    """The gains of a field of light, 5 x 3, over a picture of `shape`; `seen`: the glass's terms.

    Beyond the columns and rows in which glass is seen the light stays as at the last of them.
    """
    field, trust = np.round(field * STEPS) / STEPS, round(trust * STEPS) / STEPS
    gains = math.log(NEUTRAL) - field[0]
    green = min(gains[1], math.log(EXPOSURE))
    level = trust * (green + np.clip(gains - gains[1], -LAMP, LAMP))
    factors = []
    for axis, length in ((1, shape[1]), (2, shape[0])):
        ends = np.quantile(seen[:, axis], (0.02, 0.98))
        places = np.clip(_places(length), *ends)[:, None]
        uneven = field[axis] * places + field[axis + 2] * _bulge(places)
        factors.append(trust * np.clip(uneven, -SLOPE, SLOPE))
    across, down = factors
    return Light(np.exp(level - across).astype(np.float32), np.exp(-down).astype(np.float32))
