"""The five white cells of the drawn smear, as amounts of stain on a patch.

Sizes and forms after Bain, Blood Cells (6th ed., ch. 3), in micrometres: neutrophil 12-14 with two
to five lobes on thin strands and fine granules, lymphocyte 7-12 with a dense round nucleus and a
thin blue rim, monocyte 15-20 with a folded nucleus of lacy chromatin and vacuoles, eosinophil
12-15 with two lobes and coarse orange granules, basophil 10-14 with dark granules over a hidden
nucleus. In each class a few cells are hard on purpose: band forms, large lymphocytes, round
monocytes, half-degranulated eosinophils and washed-out basophils.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np

from wbc.sources.cell_shapes import (
    Array,
    Patch,
    Point,
    Rng,
    bump,
    carve,
    cover,
    ellipse,
    granules,
    horseshoe,
    outline,
    strand,
    texture,
    union,
    warped,
)

# Rows of every stain array. Purple: chromatin and basophil granules (azure-eosin complex). Blue:
# azure on RNA. Pink: eosin. Orange: eosin on the eosinophil's granules. Haemoglobin: red cells.
PURPLE, BLUE, PINK, ORANGE, HAEMOGLOBIN = range(5)
NUM_STAINS: Final = 5


def radius_of(rng: Rng, label: str) -> float:
    """Radius in μm of one cell of a class."""
    if label == "lymphocyte":
        return float(rng.uniform(3.9, 5.0) if rng.random() < 0.75 else rng.uniform(5.0, 6.0))
    low, high = {
        "neutrophil": (6.0, 7.0),
        "monocyte": (7.4, 9.2),
        "eosinophil": (6.1, 7.4),
        "basophil": (5.2, 6.8),
    }[label]
    return float(rng.uniform(low, high))


def paint(rng: Rng, label: str, area: Patch, radius: float) -> tuple[Array, Array]:
    """Draw one cell. Returns its coverage (height, width) and its stains (5, height, width)."""
    return PAINTERS[label](rng, area, radius)


def _stains(area: Patch) -> Array:
    return np.zeros((NUM_STAINS, *area.x.shape))


def _body(rng: Rng, area: Patch, radius: float, roughness: float) -> tuple[Array, Array]:
    """Distance to the membrane and coverage of the whole cell."""
    distance = outline(rng, warped(rng, area, 2.5, 0.12), radius, roughness)
    return distance, cover(distance, area, 0.1)


def _chromatin(
    rng: Rng, area: Patch, distance: Array, density: float, feature: float, contrast: float
) -> Array:
    """Purple of a clumped nucleus: dense blocks, paler channels, a darker membrane."""
    blocks = np.tanh(1.6 * texture(rng, area, feature))
    fine = texture(rng, area, 0.35)
    amount = density * (1 + contrast * blocks + 0.07 * fine + 0.12 * bump(distance + 0.2, 0.25))
    return cover(distance, area, 0.12) * np.clip(amount, 0.15, None)


def _lobes(
    rng: Rng, area: Patch, radius: float, num_lobes: int, share: float, stretch: float
) -> Array:
    """Distance to lobes on a bent chain, joined by thin strands.

    share: of the cell's area that the nucleus takes; stretch: longest axis over shortest.
    """
    lobe = radius * float(np.sqrt(share / num_lobes))
    bend = max(radius - lobe - rng.uniform(0.7, 1.1), 0.8 * lobe)
    start, side = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
    step = 2 * np.arcsin(min(1.0, (2.2 * lobe + rng.uniform(-0.2, 0.9)) / (2 * bend)))
    step = min(step, 2 * np.pi / num_lobes)
    angles = start + side * step * (np.arange(num_lobes) + rng.normal(0, 0.07, num_lobes))
    bends = bend * rng.uniform(0.78, 1.02, num_lobes)
    centres: list[Point] = [
        (float(b * np.cos(a)), float(b * np.sin(a))) for b, a in zip(bends, angles, strict=True)
    ]
    parts = []
    for centre, angle in zip(centres, angles, strict=True):
        ratio = np.sqrt(rng.uniform(1.0, stretch))
        size = lobe * rng.uniform(0.88, 1.1)
        tilt = angle + np.pi / 2 + rng.normal(0, 0.45)
        parts.append(ellipse(area, centre, (size * ratio, size / ratio), tilt))
    threads = [strand(area, one, two, rng.uniform(0.22, 0.38)) for one, two in pairwise(centres)]
    return union([np.minimum.reduce(parts), *threads], 0.5)


def neutrophil(rng: Rng, area: Patch, radius: float) -> tuple[Array, Array]:
    distance, whole = _body(rng, area, radius, 0.035)
    uneven = warped(rng, area, 1.6, 0.13)
    if rng.random() < 0.12:  # a band form
        width = rng.uniform(1.25, 1.6)
        bend = radius - width - rng.uniform(1.2, 1.8)
        span, turn = rng.uniform(3.0, 4.4), rng.uniform(0, 2 * np.pi)
        nucleus = horseshoe(uneven, bend, width, span, turn)
    else:
        num_lobes = int(rng.choice([2, 3, 4, 5], p=[0.2, 0.42, 0.28, 0.1]))
        nucleus = _lobes(rng, uneven, radius, num_lobes, rng.uniform(0.29, 0.38), 1.6)
    stains = _stains(area)
    dust = granules(rng, area, whole, 0.62, (0.1, 0.2), 0.8)
    strength = rng.uniform(0.5, 1.1)
    stains[PINK] = whole * (0.34 + 0.08 * texture(rng, area, 1.2) + 0.12 * bump(distance, 0.25))
    stains[BLUE] = whole * rng.uniform(0.03, 0.12)
    stains[PURPLE] = whole * (0.03 + 0.17 * strength * dust)
    inside = cover(nucleus, area, 0.12)
    stains *= 1 - 0.9 * inside
    stains[PURPLE] += _chromatin(rng, area, nucleus, rng.uniform(0.78, 0.95), 0.8, 0.27)
    return whole, stains


def lymphocyte(rng: Rng, area: Patch, radius: float) -> tuple[Array, Array]:
    distance, whole = _body(rng, area, radius, 0.05 if radius < 5 else 0.08)
    large = radius > 5
    size = radius * rng.uniform(0.68, 0.78) if large else radius - rng.uniform(0.3, 0.75)
    slack = max(radius - size - 0.25, 0.0)
    turn, away = rng.uniform(0, 2 * np.pi), slack * rng.uniform(0.3, 1.0)
    centre = (float(away * np.cos(turn)), float(away * np.sin(turn)))
    ratio = np.sqrt(rng.uniform(1.0, 1.16))
    uneven = warped(rng, area, 2.0, 0.1)
    nucleus = ellipse(uneven, centre, (size * ratio, size / ratio), turn + np.pi / 2)
    if rng.random() < 0.3:  # a shallow notch
        spot = turn + rng.normal(0, 1.0)
        dent = (centre[0] - 1.25 * size * np.cos(spot), centre[1] - 1.25 * size * np.sin(spot))
        nucleus = carve(nucleus, ellipse(area, dent, (0.45 * size, 0.45 * size), 0.0), 0.5)
    nucleus = np.maximum(nucleus, distance + 0.15)
    stains = _stains(area)
    blue = rng.uniform(0.2, 0.5) if large else rng.uniform(0.4, 0.85)
    stains[BLUE] = whole * blue * (1 + 0.12 * texture(rng, area, 0.9) + 0.3 * bump(distance, 0.35))
    stains[PINK] = whole * 0.08
    if large:  # a few azurophilic granules
        stains[PURPLE] = 0.5 * granules(rng, area, whole, 1.5, (0.15, 0.28), rng.uniform(0, 0.4))
    stains *= 1 - 0.9 * cover(nucleus, area, 0.12)
    density = rng.uniform(0.72, 0.85) if large else rng.uniform(0.8, 1.0)
    stains[PURPLE] += _chromatin(rng, area, nucleus, density, 1.1, 0.2)
    return whole, stains


def _folded_nucleus(rng: Rng, area: Patch, radius: float) -> Array:
    """Kidney, horseshoe, or a body folded into broad lobes."""
    kind, turn = rng.random(), rng.uniform(0, 2 * np.pi)
    if kind < 0.4:
        long, short = 0.7 * radius, rng.uniform(0.52, 0.6) * radius
        side = (-0.68 * radius * np.cos(turn), -0.68 * radius * np.sin(turn))
        body = ellipse(area, (0.06 * radius, 0.0), (long, short), turn + np.pi / 2)
        deep = rng.uniform(0.38, 0.55) * radius
        return carve(body, ellipse(area, side, (deep, 0.75 * deep), turn), 1.2)
    if kind < 0.75:
        width = rng.uniform(0.28, 0.35) * radius
        bend = radius - width - rng.uniform(1.0, 1.8)
        return horseshoe(area, bend, width, rng.uniform(2.6, 3.9), turn)
    angles = turn + np.array([0.0, 2.0, 4.1]) + rng.normal(0, 0.2, 3)
    sizes = rng.uniform(0.38, 0.5, 3) * radius
    parts = [
        ellipse(area, (0.27 * radius * np.cos(a), 0.27 * radius * np.sin(a)), (s, 0.85 * s), a)
        for a, s in zip(angles, sizes, strict=True)
    ]
    return union(parts, 1.6)


def monocyte(rng: Rng, area: Patch, radius: float) -> tuple[Array, Array]:
    distance, whole = _body(rng, warped(rng, area, 4.0, 0.3), radius, 0.1)
    shift = rng.normal(0, 0.05 * radius, 2)
    moved = warped(rng, Patch(area.x - shift[0], area.y - shift[1], area.scale), 2.4, 0.22)
    nucleus = np.maximum(_folded_nucleus(rng, moved, radius), distance + 0.5)
    stains = _stains(area)
    ground = 1 + 0.16 * texture(rng, area, 0.5) + 0.12 * texture(rng, area, 2.0)
    stains[BLUE] = whole * rng.uniform(0.2, 0.38) * ground
    stains[PINK] = whole * rng.uniform(0.15, 0.28) * ground
    stains[PURPLE] = whole * (0.07 + 0.14 * granules(rng, area, whole, 0.8, (0.1, 0.18), 0.6))
    stains *= 1 - 0.75 * cover(nucleus, area, 0.15)
    lace = np.abs(texture(rng, area, 0.6)) - 0.75  # ridges of the noise: strands and gaps
    folds = texture(rng, area, 2.2)
    amount = rng.uniform(0.58, 0.74) * (1 - 0.3 * lace + 0.1 * folds + 0.1 * bump(distance, 0.3))
    stains[PURPLE] += cover(nucleus, area, 0.2) * np.clip(amount, 0.15, None)
    if rng.random() < 0.55:
        holes = granules(rng, area, cover(distance + 1, area), 2.2, (0.35, 0.85), 0.14)
        stains *= 1 - 0.75 * np.clip(1.5 * holes, 0, 1)
    return whole, stains


def eosinophil(rng: Rng, area: Patch, radius: float) -> tuple[Array, Array]:
    distance, whole = _body(rng, area, radius, 0.05)
    num_lobes = int(rng.choice([2, 3], p=[0.82, 0.18]))
    uneven = warped(rng, area, 1.8, 0.12)
    nucleus = _lobes(rng, uneven, radius, num_lobes, rng.uniform(0.28, 0.36), 1.5)
    inside = cover(nucleus, area, 0.12)
    coarse = granules(
        rng, area, cover(distance + 0.25, area), rng.uniform(0.72, 0.85), (0.34, 0.5),
        rng.uniform(0.6, 0.8) if rng.random() < 0.1 else 0.97,
    )  # fmt: skip
    stains = _stains(area)
    stains[ORANGE] = whole * 0.26 + rng.uniform(0.5, 0.85) * coarse
    stains[PINK] = whole * (0.15 + 0.35 * coarse)
    stains[BLUE] = whole * rng.uniform(0.02, 0.1)
    # Nearly all granules lie beside the nucleus; a few in front of it show through.
    stains *= 1 - inside * (1 - 0.35 * (texture(rng, area, 1.2) > 1.0))
    stains[PURPLE] += _chromatin(rng, area, nucleus, rng.uniform(0.75, 0.92), 0.85, 0.25)
    return whole, stains


def basophil(rng: Rng, area: Patch, radius: float) -> tuple[Array, Array]:
    distance, whole = _body(rng, area, radius, 0.06)
    uneven = warped(rng, area, 1.8, 0.25)
    num_lobes = int(rng.choice([1, 2, 3], p=[0.25, 0.5, 0.25]))
    nucleus = _lobes(rng, uneven, radius, num_lobes, rng.uniform(0.36, 0.5), 1.5)
    stains = _stains(area)
    stains[PINK] = whole * rng.uniform(0.15, 0.4)
    stains[BLUE] = whole * rng.uniform(0.1, 0.25) * (1 + 0.15 * texture(rng, area, 1.0))
    stains[PURPLE] = whole * 0.12
    hidden = rng.uniform(0.4, 0.6)
    stains[PURPLE] += _chromatin(rng, area, nucleus, hidden, 1.4, 0.12)
    keep = rng.uniform(0.35, 0.5) if rng.random() < 0.12 else rng.uniform(0.5, 0.9)
    within = cover(distance + 0.1, area)
    bent = warped(rng, area, 1.0, 0.2)
    coarse = np.maximum(
        granules(rng, bent, within, rng.uniform(1.15, 1.4), (0.4, 0.72), keep),
        granules(rng, bent, within, 0.85, (0.2, 0.42), 0.8 * keep),
    )
    stains[PURPLE] += rng.uniform(0.75, 0.95) * coarse * (1 - 0.35 * cover(nucleus, area))
    return whole, stains


PAINTERS: Final[dict[str, Callable[[Rng, Patch, float], tuple[Array, Array]]]] = {
    "neutrophil": neutrophil,
    "lymphocyte": lymphocyte,
    "monocyte": monocyte,
    "eosinophil": eosinophil,
    "basophil": basophil,
}
