"""One drawn field of a Giemsa-stained smear: a leukocyte among red cells, seen by a microscope.

The picture follows the light: amounts of stain add up as optical densities (Beer-Lambert), the
lamp shines through unevenly, the lens blurs, the camera balances, sharpens and adds noise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from wbc.sources.cell_shapes import (
    Array,
    Patch,
    Point,
    Rng,
    bump,
    cover,
    granules,
    length,
    outline,
    patch,
    smooth_noise,
    texture,
)
from wbc.sources.leukocytes import (
    BLUE,
    HAEMOGLOBIN,
    NUM_STAINS,
    PINK,
    PURPLE,
    paint,
    radius_of,
)

RED_CELL_RADIUS: Final = 3.75  # μm

# Optical density of one unit of each stain in red, green and blue.
STAIN_DENSITY: Final = np.array(
    [
        [0.56, 0.84, 0.27],  # purple
        [0.40, 0.31, 0.08],  # blue
        [0.05, 0.24, 0.12],  # pink
        [0.04, 0.30, 0.36],  # orange
        [0.10, 0.21, 0.17],  # haemoglobin
    ]
)


@dataclass(frozen=True)
class Microscope:
    """A microscope with its camera; lengths as shares of the picture's side or in μm."""

    field: float  # μm of smear along the picture's side
    white: tuple[float, float, float]  # colour of the empty field
    contrast: float  # exponent on transmitted light
    blur: Point  # μm, smallest and largest usual sigma
    sharpening: float  # strength of the camera's unsharp mask
    vignetting: float  # loss of light in the corners
    noise: float  # grey levels
    quality: tuple[int, int]  # JPEG quality, from and to


@dataclass(frozen=True)
class Look:
    """What all pictures of one smear share."""

    density: Array  # (5, 3) optical density of one unit of each stain
    white: Array  # (3,) lamp and white balance, 1 is full scale
    crowding: float  # red cells for every 100 μm²
    pallor: float  # 0 to 1, depth of the red cells' central pallor
    blue_red_cells: float  # blue in the red cells (alkaline buffer)
    background: float  # stained plasma


def smear_look(rng: Rng, microscope: Microscope) -> Look:
    """Draw a smear's stain strength and hue, lamp, density and red cells."""
    strength = np.exp(rng.normal(0, 0.13)) * np.exp(rng.normal(0, 0.12, (NUM_STAINS, 1)))
    hue = np.exp(rng.normal(0, 0.1, (1, 3)) + rng.normal(0, 0.05, (NUM_STAINS, 3)))
    white = np.array(microscope.white) * np.exp(rng.normal(0, [0.05, 0.04, 0.08]))
    return Look(
        density=STAIN_DENSITY * strength * hue,
        white=np.clip(white * rng.uniform(0.86, 1.02), 0.4, 1.0),
        crowding=float(rng.uniform(0.9, 1.7)),
        pallor=float(rng.uniform(0.35, 0.9)),
        blue_red_cells=float(rng.uniform(0.0, 0.14)),
        background=float(rng.uniform(0.02, 0.16)),
    )


def draw(rng: Rng, label: str, size: int, look: Look, microscope: Microscope) -> NDArray[np.uint8]:
    """Draw one cell's picture: (size, size, 3), RGB."""
    scale = size / microscope.field
    radius = radius_of(rng, label)
    centre = tuple(size * (0.5 + np.clip(rng.normal(0, 0.04, 2), -0.09, 0.09)))
    stains = np.zeros((NUM_STAINS, size, size))
    stains[PINK] = look.background * (1 + 0.18 * smooth_noise(rng, (size, size), size / 8))
    _add_red_cells(rng, stains, look, microscope, centre, radius)
    _add_platelets(rng, stains, scale, centre, radius)
    area, rows, columns = patch(size, scale, centre, 1.3 * radius + 1)
    whole, cell = paint(rng, label, area, radius)
    here = stains[:, rows, columns]
    here *= 1 - whole
    here += cell
    return _photograph(rng, stains, look, microscope)


def _positions(rng: Rng, field: float, num: int, clear: tuple[float, float, float]) -> list[Point]:
    """Centres (μm) of red cells that overlap each other a little and leave the leukocyte free."""
    spots: list[Point] = []
    tries = rng.uniform(-RED_CELL_RADIUS, field + RED_CELL_RADIUS, (6 * num, 2))
    gaps = RED_CELL_RADIUS * rng.choice([1.2, 1.95], 6 * num, p=[0.12, 0.88])
    for (x, y), gap in zip(tries.tolist(), gaps.tolist(), strict=True):
        if len(spots) == num:
            break
        free = np.hypot(x - clear[0], y - clear[1]) > clear[2] + 0.93 * RED_CELL_RADIUS
        if free and all((x - a) ** 2 + (y - b) ** 2 > gap * gap for a, b in spots):
            spots.append((x, y))
    return spots


def _add_red_cells(
    rng: Rng, stains: Array, look: Look, microscope: Microscope, centre: Point, radius: float
) -> None:
    size = stains.shape[1]
    scale = size / microscope.field
    extent = (microscope.field + 2 * RED_CELL_RADIUS) ** 2
    num = int(rng.poisson(look.crowding * extent / 100))
    clear = (centre[0] / scale, centre[1] / scale, radius)
    for x, y in _positions(rng, microscope.field, num, clear):
        area, rows, columns = patch(size, scale, (x * scale, y * scale), 1.25 * RED_CELL_RADIUS)
        if area.x.size:
            disc = _red_cell(rng, area, look.pallor)
            stains[HAEMOGLOBIN, rows, columns] += disc
            stains[BLUE, rows, columns] += look.blue_red_cells * disc


def _red_cell(rng: Rng, area: Patch, pallor: float) -> Array:
    """Thickness of one biconcave disc, 1 at its thick ring."""
    radius = RED_CELL_RADIUS * rng.normal(1, 0.06)
    distance = outline(rng, area, radius, 0.07, orders=4)
    depth = np.clip(pallor + rng.normal(0, 0.12), 0, 0.95)
    off = rng.normal(0, 0.25, 2)
    inner = length(area.x - off[0], area.y - off[1]) / radius
    slope = np.clip((rng.uniform(0.33, 0.55) - inner) * rng.uniform(2.0, 3.6) + 0.5, 0, 1)
    hollow = slope * slope * (3 - 2 * slope)
    body = cover(distance, area, 0.1)
    rim = 0.2 * bump(distance + 0.2, 0.4)
    halo = 0.12 * bump(distance - 0.3, 0.4)  # light bent out of the edge
    return np.asarray(body * (1 - depth * hollow + rim + halo) - halo)


def _add_platelets(rng: Rng, stains: Array, scale: float, centre: Point, radius: float) -> None:
    size = stains.shape[1]
    for _ in range(int(rng.poisson(1.3))):
        spot = tuple(rng.uniform(0, size, 2))
        small = float(rng.uniform(0.8, 1.5))
        if np.hypot(spot[0] - centre[0], spot[1] - centre[1]) < (radius + small) * scale:
            continue
        area, rows, columns = patch(size, scale, spot, 2 * small)
        body = cover(outline(rng, area, small, 0.25), area, 0.2)
        dots = granules(rng, area, body, 0.45, (0.15, 0.25), 0.7)
        stains[PURPLE, rows, columns] += body * (0.28 + 0.08 * texture(rng, area, 0.6))
        stains[PURPLE, rows, columns] += 0.3 * dots
        stains[BLUE, rows, columns] += 0.12 * body


def _photograph(rng: Rng, stains: Array, look: Look, microscope: Microscope) -> NDArray[np.uint8]:
    """Light through the stains, lens, camera: (size, size, 3), 8 bits."""
    size = stains.shape[1]
    density = np.einsum("sc,syx->cyx", look.density, stains)  # (3, size, size)
    light = np.exp(-np.log(10) * microscope.contrast * density)
    sigma = rng.uniform(*microscope.blur) * (1 if rng.random() < 0.9 else 1.8)
    light = _blurred(light, sigma * size / microscope.field)
    if microscope.sharpening:
        light += microscope.sharpening * (light - _blurred(light, size / 110))
    white = look.white * np.exp(rng.normal(0, 0.03)) * np.exp(rng.normal(0, 0.012, 3))
    picture = light * white[:, None, None] * _lamp(rng, size, microscope.vignetting)
    picture = 255 * picture + microscope.noise * rng.standard_normal(picture.shape, np.float32)
    return np.moveaxis(np.clip(np.rint(picture), 0, 255).astype(np.uint8), 0, 2)


def _blurred(light: Array, sigma: float) -> Array:
    for axis in (1, 2):
        light = gaussian_filter1d(light, sigma, axis=axis, mode="nearest", truncate=3)
    return light


def _lamp(rng: Rng, size: int, vignetting: float) -> Array:
    """Uneven light over the field, about 1: a slope and the fall towards the corners."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, size)] * 2)
    slope = rng.normal(0, 0.04, 2)
    return np.asarray(1 + slope[0] * x + slope[1] * y - vignetting * (x * x + y * y) / 2)
