"""Geometry of drawn blood cells: signed distances, smooth noise, granules.

All lengths are micrometres, all distances negative inside. A `Patch` is the square of pixels
around one cell; every function below is vectorised over it. Distances are turned into coverage
over one pixel, which is antialiasing without supersampling (float64 throughout, so that the
rounding to 8 bits at the end does not depend on the order of sums).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float]
Rng = np.random.Generator


@dataclass(frozen=True)
class Patch:
    """x, y: micrometres from the cell's centre, shape (height, width); scale: pixels per μm."""

    x: Array
    y: Array
    scale: float


def patch(size: int, scale: float, centre: Point, reach: float) -> tuple[Patch, slice, slice]:
    """The part of a size x size picture within `reach` μm of `centre` (pixels x, y).

    Returns the patch and its rows and columns in the picture.
    """
    columns = _span(size, centre[0], reach * scale)
    rows = _span(size, centre[1], reach * scale)
    x = (np.arange(columns.start, columns.stop) - centre[0]) / scale
    y = (np.arange(rows.start, rows.stop) - centre[1]) / scale
    grid_x, grid_y = np.meshgrid(x, y)
    return Patch(grid_x, grid_y, scale), rows, columns


def _span(size: int, centre: float, reach: float) -> slice:
    return slice(max(0, int(centre - reach)), max(0, min(size, int(centre + reach) + 2)))


def smooth_noise(rng: Rng, shape: tuple[int, int], feature: float) -> Array:
    """Noise of about unit variance whose blobs are `feature` pixels wide: cubic B-splines.

    Four knots reach each pixel; adding them up one by one spares a threaded matrix product,
    whose last digits could depend on the number of threads.
    """
    (top, down), (left, across) = (_splines(pixels, max(feature, 1.0)) for pixels in shape)
    knots = rng.standard_normal((top[-1] + 4, left[-1] + 4))
    rows = sum(down[k][:, None] * knots[top + k] for k in range(4))
    columns = sum(across[k][:, None] * np.asarray(rows).T[left + k] for k in range(4))
    return np.ascontiguousarray(np.asarray(columns).T) / 0.479


def _splines(pixels: int, feature: float) -> tuple[NDArray[np.int64], Array]:
    """For each pixel of an axis its first knot, (pixels,), and four weights, (4, pixels)."""
    place = np.arange(pixels) / feature
    first = np.floor(place).astype(np.int64)
    t = place - first
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return first, np.array(weights) / 6


def texture(rng: Rng, area: Patch, feature: float) -> Array:
    """Smooth noise over a patch with blobs of `feature` μm."""
    height, width = area.x.shape
    return smooth_noise(rng, (height, width), feature * area.scale)


def warped(rng: Rng, area: Patch, feature: float, amount: float) -> Patch:
    """The patch with its coordinates pushed about by `amount` μm: irregular outlines."""
    return Patch(
        area.x + amount * texture(rng, area, feature),
        area.y + amount * texture(rng, area, feature),
        area.scale,
    )


def cover(distance: Array, area: Patch, softness: float = 0.0) -> Array:
    """Share of each pixel inside the outline; `softness` μm widens the edge."""
    return np.clip(0.5 - distance / (1 / area.scale + softness), 0, 1)


def bump(distance: Array, width: float) -> Array:
    """1 on an outline, fading over `width` μm on both sides (a Gauss bell's cheap cousin)."""
    return np.asarray(1 / (1 + (distance / width) ** 2) ** 2)


def length(x: Array, y: Array) -> Array:
    """np.hypot without its care for overflow, and several times faster."""
    return np.asarray(np.sqrt(x * x + y * y))


def outline(rng: Rng, area: Patch, radius: float, roughness: float, orders: int = 5) -> Array:
    """Distance to a roundish closed curve with random harmonics 2 to `orders`."""
    away = length(area.x, area.y)
    direction = (area.x + 1j * area.y) / np.maximum(away, 1e-6)
    curve, wave = np.ones_like(away), direction
    for order in range(2, orders + 1):
        wave = wave * direction  # its real part is cos(order * angle)
        height, phase = rng.normal(0, roughness / order**1.3), rng.uniform(0, 2 * np.pi)
        curve += height * (np.cos(phase) * wave.real - np.sin(phase) * wave.imag)
    return np.asarray(away - radius * curve)


def ellipse(area: Patch, centre: Point, axes: Point, angle: float) -> Array:
    """Distance (exact for circles, near it for mild ellipses) to an ellipse."""
    x, y = area.x - centre[0], area.y - centre[1]
    along = (x * np.cos(angle) + y * np.sin(angle)) / axes[0]
    aside = (y * np.cos(angle) - x * np.sin(angle)) / axes[1]
    return (length(along, aside) - 1) * min(axes)


def strand(area: Patch, start: Point, end: Point, half_width: float) -> Array:
    """Distance to a straight thread between two points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    x, y = area.x - start[0], area.y - start[1]
    share = np.clip((x * dx + y * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
    return length(x - share * dx, y - share * dy) - half_width


def horseshoe(area: Patch, bend: float, half_width: float, span: float, turn: float) -> Array:
    """Distance to a round-ended arc of radius `bend`, open opposite to `turn` (radians)."""
    angle = np.arctan2(area.y, area.x) - turn
    angle = np.arctan2(np.sin(angle), np.cos(angle))
    nearest = np.clip(angle, -span / 2, span / 2) + turn
    # The arms taper and swell a little, as a band nucleus does.
    width = half_width * (1 + 0.12 * np.cos(3 * angle))
    across = length(area.x - bend * np.cos(nearest), area.y - bend * np.sin(nearest))
    return np.asarray(across - width)


def union(distances: Sequence[Array], blend: float) -> Array:
    """Smooth minimum (polynomial, Quilez): `blend` μm of the seam is filled."""
    result = distances[0]
    for other in distances[1:]:
        share = np.clip(blend - np.abs(result - other), 0, None) / blend
        result = np.minimum(result, other) - share * share * blend / 4
    return result


def carve(body: Array, bite: Array, blend: float) -> Array:
    """The body without the bite, the rim of the cut rounded."""
    return -union([-body, bite], blend)


def granules(
    rng: Rng, area: Patch, allowed: Array, spacing: float, radii: Point, keep: float = 1.0
) -> Array:
    """Domes of height 0 to 1 on a jittered triangular grid, where `allowed` (0 to 1) says so.

    spacing: μm between neighbours; radii: smallest and largest in μm; keep: share drawn.
    """
    height, width = area.x.shape
    step = spacing * area.scale
    rows, columns = np.mgrid[0 : height / (0.87 * step), 0 : width / step]
    y = (rows + rng.uniform(-0.4, 0.4, rows.shape)) * 0.87 * step
    x = (columns + rows % 2 / 2 + rng.uniform(-0.4, 0.4, rows.shape)) * step
    y, x = np.clip(y, 0, height - 1).ravel(), np.clip(x, 0, width - 1).ravel()
    radius = rng.uniform(*radii, y.size) * area.scale
    strength = rng.uniform(0.65, 1.0, y.size)
    chosen = (rng.random(y.size) < keep) & (allowed[y.astype(int), x.astype(int)] > 0.5)
    return _stamp((height, width), y[chosen], x[chosen], radius[chosen], strength[chosen])


def _stamp(shape: tuple[int, int], y: Array, x: Array, radius: Array, strength: Array) -> Array:
    """The highest of many small domes at every pixel."""
    canvas = np.zeros(shape)
    reach = int(np.ceil(radius.max(initial=0.0))) + 1
    offsets = np.arange(-reach, reach + 1)
    rows = np.rint(y).astype(int)[:, None, None] + offsets[None, :, None]
    columns = np.rint(x).astype(int)[:, None, None] + offsets[None, None, :]
    away = length(rows - y[:, None, None], columns - x[:, None, None])
    dome = np.clip(radius[:, None, None] + 0.5 - away, 0, 1) * strength[:, None, None]
    dome *= 1 - 0.35 * np.minimum(away / np.maximum(radius, 0.5)[:, None, None], 1) ** 2
    rows, columns = np.broadcast_arrays(rows, columns)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    np.maximum.at(canvas, (rows[inside], columns[inside]), dome[inside])
    return canvas
