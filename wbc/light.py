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
cut into a cell keeps its colours, and one in doubt is changed half way.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Values = NDArray[np.float64]

# What glass becomes, in all channels: near what cameras are exposed to, so that gains are near 1,
# with 6 % left above it for noise and for the bright rims that defocus draws around cells.
NEUTRAL: Final = 240
SAME: Final = 0.05  # natural logarithm of light: what is as bright as the glass, but for noise
# The same: how much brighter and darker than the fit a pixel may be to be glass, round by round. In
# the end less below than the palest cytoplasm absorbs, so that none pulls at the fit.
ROUNDS: Final = ((0.15, 0.1), (0.1, 0.06), (0.05, 0.04), (0.05, 0.04))
SIDE: Final = 96  # pixels, longer side of the copy that is judged
FLAT: Final = 0.04  # natural logarithm of light over 3 x 3 pixels: no edge, no texture
STIFF: Final = 0.002  # of all pixels: the weight of an even light in the fit, against few pixels
STAINED: Final = 0.02  # weight of pixels below the envelope while it is looked for
DARK: Final = 0.7  # natural logarithm of light below the glass: no news about the glass
SLOPE: Final = 0.5  # natural logarithm of light: the most that a lamp or a lens changes by
EXPOSURE: Final = 3.0  # the most that green may be multiplied by: glass below 80 is a dark picture
# Natural logarithm, between neighbouring channels: the most that a lamp may be off. Green over blue
# is 0.66 for a black body of 2700 K, a dimmed halogen lamp, without any white balance (sRGB).
LAMP: Final = 0.7
STEPS: Final = 4096  # a coefficient's steps in 1: another processor's last digits do not matter
# Ramps of trust, (none, full): share of the picture that is glass; share of the glass's own light
# beside the light just below it, in bands of equal width; green over red and blue; share of the
# picture that outshines the glass in one channel.
SHARES: Final = (0.01, 0.03)
PEAK: Final = (0.6, 0.75)
TINT: Final = (-0.16, -0.1)
OUTSHINES: Final = (0.06, 0.02)


@dataclass(frozen=True)
class Light:
    """How far a picture's glass is from NEUTRAL: natural logarithms, quantities a channel (3).

    The light at x, y (-1 to 1 over the picture) is off by `level`, `across` (times x and the bulge
    of x) and `down` (of y); it is not known beyond the `columns` and `rows` in which glass is seen.
    """

    level: Values
    across: Values  # 2 x 3
    down: Values  # 2 x 3
    columns: tuple[float, float]
    rows: tuple[float, float]


def light_of(small: NDArray[np.uint8], longer: int) -> Light | None:
    """The light of a picture, from its reduced copy; None where no glass is to be seen.

    small: h x w x 3, by wbc.staining.reduced; longer: the longer side of the picture itself.
    """
    table = np.log(np.maximum(np.arange(256, dtype=np.float64), 1))
    logs = table[_calm(small, longer)]
    terms = _terms(logs.shape[:2])
    fit = _envelope(terms, logs[..., 1].ravel())
    flat = _flat(logs[..., 1]).ravel()
    flat_terms, flat_logs = terms[flat], logs.reshape(-1, 3)[flat]
    for brighter, darker in ROUNDS:
        above = flat_logs[:, 1] - flat_terms @ fit
        near = (above < brighter) & (above > -darker)
        if np.count_nonzero(near) < SHARES[0] * flat.size:
            return None
        seen, light = flat_terms[near], flat_logs[near]
        fit = _fit(seen, light[:, 1], flat.size)
    field = _fit(seen, light, flat.size)
    trust = _trust(logs.reshape(-1, 3) - terms @ field, (seen @ field).mean(axis=0), len(seen))
    return _light(field, trust, seen) if trust > 0 else None


def neutralised(
    square: NDArray[np.uint8], light: Light, rows: Values, columns: Values
) -> NDArray[np.uint8]:
    """Pixels, h x w x 3, with neutral glass; `rows` (h) and `columns` (w): their places in the
    picture, -1 to 1. Beyond what is known the light stays as it is there."""
    across = light.level + _uneven(light.across, np.clip(columns, *light.columns))
    down = _uneven(light.down, np.clip(rows, *light.rows))
    # All of a row in one line: numpy is slow where the last axis is short.
    gains = np.tile(np.exp(-down).astype(np.float32), (1, len(columns)))
    gains *= np.exp(-across).astype(np.float32).ravel()
    gains *= square.reshape(gains.shape)
    gains += 0.5
    return np.minimum(gains, 255, out=gains).astype(np.uint8).reshape(square.shape)


def _uneven(slopes: Values, places: Values) -> Values:
    uneven = places[:, None] * slopes[0] + _bulge(places)[:, None] * slopes[1]
    return np.asarray(np.clip(uneven, -SLOPE, SLOPE))


def _calm(small: NDArray[np.uint8], longer: int) -> NDArray[np.uint8]:
    """A copy of at most SIDE pixels. Where a pixel of it averages few of the picture's it is
    smoothed, so that noise does not look like texture."""
    copy = Image.fromarray(small)
    scale = min(1, SIDE / max(copy.size))
    size = [max(1, round(length * scale)) for length in copy.size]
    copy = copy.resize((size[0], size[1]), Image.Resampling.BOX)
    return np.asarray(copy.filter(ImageFilter.BoxBlur(1)) if longer < 3 * SIDE else copy)


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


def _fit(terms: Values, logs: Values, size: float, weights: Values | None = None) -> Values:
    """Least squares, drawn towards an even light by STIFF times `size` pixels."""
    weighted = terms if weights is None else terms * weights[:, None]
    stiffness = STIFF * size * np.diag([0.0, 1, 1, 1, 1])
    return np.asarray(np.linalg.solve(weighted.T @ terms + stiffness, weighted.T @ logs))


def _envelope(terms: Values, green: Values) -> Values:
    """The upper envelope, by asymmetric least squares (Eilers 2004, Anal Chem 76, 404)."""
    terms, green = terms[::5], green[::5]  # enough for a first guess
    fitted = np.full(green.shape, np.quantile(green, 0.9))
    for _ in range(6):
        above = green - fitted
        weights = np.where(above > 0, 1.0, np.where(above > -DARK, STAINED, 0.0))
        coefficients = _fit(terms, green, float(weights.sum()), weights)
        fitted = terms @ coefficients
    return coefficients


def _flat(logs: Values) -> NDArray[np.bool_]:
    """By shifts: scipy's filters take longer."""
    high = low = np.pad(logs, 1, mode="edge")
    high = np.maximum(np.maximum(high[:-2], high[1:-1]), high[2:])
    high = np.maximum(np.maximum(high[:, :-2], high[:, 1:-1]), high[:, 2:])
    low = np.minimum(np.minimum(low[:-2], low[1:-1]), low[2:])
    low = np.minimum(np.minimum(low[:, :-2], low[:, 1:-1]), low[:, 2:])
    return np.asarray(high - low < FLAT)


def _trust(above: Values, colour: Values, num_seen: int) -> float:
    """How sure it is that what was fitted is glass, 0 to 1.

    above: of all pixels, x 3, over the fit; colour: the fit's mean (3); num_seen: pixels fitted.
    """
    green = above[:, 1]
    level = int(np.count_nonzero(np.abs(green) < SAME / 2))
    below = 2 * int(np.count_nonzero((green < -SAME) & (green > -1.5 * SAME)))
    outshines = max(int(np.count_nonzero(above[:, k] > 2 * SAME)) for k in (0, 2))
    return min(
        _ramp(num_seen / len(above), SHARES),
        _ramp(level / max(1, level + below), PEAK),
        _ramp(float(colour[1] - (colour[0] + colour[2]) / 2), TINT),
        _ramp(outshines / len(above), OUTSHINES),
    )


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """0 at the first end, 1 at the second."""
    return min(1.0, max(0.0, (value - ends[0]) / (ends[1] - ends[0])))


def _light(field: Values, trust: float, seen: Values) -> Light:
    """Of a field, 5 x 3, as far as it is trusted and lamps go; `seen`: the terms of the glass."""
    field, trust = np.round(field * STEPS) / STEPS, round(trust * STEPS) / STEPS
    level = field[0] - math.log(NEUTRAL)
    green = max(level[1], -math.log(EXPOSURE))
    level = green + np.clip(level - level[1], -LAMP, LAMP)
    columns, rows = np.quantile(seen[:, 1:3], (0.02, 0.98), axis=0).T
    return Light(
        trust * level,
        trust * field[[1, 3]],
        trust * field[[2, 4]],
        (float(columns[0]), float(columns[1])),
        (float(rows[0]), float(rows[1])),
    )
