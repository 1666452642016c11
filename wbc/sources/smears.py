"""The plan of the drawn sample: which cell comes from which smear, and where its file lies.

Names follow Raabin-WBC: `Train/Neutrophil/95-8-10-1_430_1.jpg` is smear_field_cell, and basophils,
which come from smears of their own, are named after the day: `20190526_101512_1.jpg`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from wbc.cells import CLASSES

SEED: Final = 20190526  # another value draws another sample

PART_SHARES: Final = {"Train": 0.60, "Test-A": 0.28, "Test-B": 0.12}
OFFICIAL_SPLIT: Final = {"Train": "train", "Test-A": "test_a", "Test-B": "test_b"}
# Cells as published (Raabin-WBC on Kaggle), in the order of CLASSES.
PUBLISHED: Final = {
    "Train": (6231, 2427, 561, 744, 212),
    "Test-A": (2660, 1034, 234, 322, 89),
    "Test-B": (1971, 148, 0, 0, 0),
}
# Two of a hundred cells being basophils, a first run's test would hold five of them. No class
# that a part has at all gets less than this share: 32 in Train and 15 in Test-A of 900 cells.
RAREST_SHARE: Final = 0.06
CELLS_PER_SMEAR: Final = 45
EOSINOPHILIA_SHARE: Final = 0.4  # of Train's eosinophils from its first smear (two thirds there)


@dataclass(frozen=True)
class DrawnCell:
    """One picture to draw. `index` counts within the smear; both seed its random numbers."""

    path: str  # relative to the source's folder
    label: str
    smear: str
    index: int
    part: str  # Train | Test-A | Test-B


def plan(num_cells: int) -> list[DrawnCell]:
    """All cells of a sample in the order of their files, the same for the same number."""
    rng = np.random.default_rng(SEED)
    counts = {part: class_counts(part, num_cells) for part in PART_SHARES}
    smears, days = _smear_names(counts)
    drawn: dict[str, int] = {}
    cells = []
    for part, by_class in counts.items():
        for label, count in by_class.items():
            names = days[part] if label == "basophil" else smears[part]
            for smear in _assign(rng, part, label, names, count):
                index = drawn[smear] = drawn.get(smear, -1) + 1
                path = cell_path(part, label, smear, index)
                cells.append(DrawnCell(path, label, smear, index, part))
    return sorted(cells, key=lambda cell: cell.path)


def class_counts(part: str, num_cells: int) -> dict[str, int]:
    """Cells of each class in a part; the commonest class takes what rounding leaves."""
    totals = {name: round(num_cells * PART_SHARES[name]) for name in ("Test-A", "Test-B")}
    totals["Train"] = num_cells - sum(totals.values())
    total = totals[part]
    published = dict(zip(CLASSES, PUBLISHED[part], strict=True))
    whole = sum(published.values())
    counts = {
        label: round(total * max(count / whole, RAREST_SHARE))
        for label, count in published.items()
        if count
    }
    counts["neutrophil"] += total - sum(counts.values())
    return counts


def cell_path(part: str, label: str, smear: str, index: int) -> str:
    """The file of one cell; `index` gives field and cell, or the time of day of a basophil."""
    if label == "basophil":
        minutes, seconds = divmod(37 * (index // 2), 60)
        clock = f"{9 + minutes // 60:02}{minutes % 60:02}{seconds:02}"
    else:
        clock = str(11 + 3 * (index // 2))
    return f"{part}/{label.capitalize()}/{smear}_{clock}_{1 + index % 2}.jpg"


def _smear_names(
    counts: dict[str, dict[str, int]],
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Smears and basophil days of every part; Train and Test-A have one of each in common."""
    smears: dict[str, list[str]] = {}
    days: dict[str, list[str]] = {}
    first = 0
    for number, (part, by_class) in enumerate(counts.items()):
        num_smears = max(3, round(sum(by_class.values()) / CELLS_PER_SMEAR))
        smears[part] = [_smear_name(k) for k in range(first, first + num_smears)]
        first += num_smears
        days[part] = [f"2019{5 + number:02}{11 + 2 * k:02}" for k in range(5 - 2 * number)]
    smears["Test-A"][-1] = smears["Train"][-1]
    days["Test-A"][-1] = days["Train"][-1]
    return smears, days


def _smear_name(number: int) -> str:
    """Year, month, day (Persian calendar, as in Raabin-WBC) and slide: three slides a day."""
    months, rest = divmod(number, 75)
    return f"{95 + (5 + months) // 12}-{1 + (5 + months) % 12}-{1 + rest // 3}-{1 + rest % 3}"


def _assign(
    rng: np.random.Generator, part: str, label: str, smears: list[str], count: int
) -> list[str]:
    """A smear for each of `count` cells, unevenly, as laboratories collect them."""
    shares = rng.uniform(0.7, 1.3, len(smears))
    if part == "Train" and label == "eosinophil":
        shares[0] = EOSINOPHILIA_SHARE / (1 - EOSINOPHILIA_SHARE) * shares[1:].sum()
    # Equal steps through the shares rather than draws: few cells still spread over the smears.
    steps = (np.arange(count) + 0.5) / count
    return [smears[k] for k in np.searchsorted(shares.cumsum() / shares.sum(), steps)]
