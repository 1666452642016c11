"""kind: sample. Drawn Giemsa-stained smears in Raabin-WBC's layout, with faults to be found.

Nothing is downloaded and nothing is copied: every cell is drawn from random numbers that depend
only on (SEED, smear, index in the smear), so neither the number of processes nor their order
matters, and a second run writes the same bytes. The classes keep the published imbalance except
that none is rarer than smears.RAREST_SHARE: at 900 cells the rarest has 32 in Train and 15 in
Test-A, so that its recall means something. Test-B is another microscope and camera, with
neutrophils and lymphocytes only. These pictures are for a first run, for tests and for CI; a model
trained on them knows nothing about blood.
"""

import io
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image
from tqdm import tqdm

from wbc.params import SampleSource
from wbc.sources.drawing import Microscope, draw, smear_look
from wbc.sources.smears import OFFICIAL_SPLIT, SEED, DrawnCell, cell_path, plan
from wbc.workers import local_workers

log = logging.getLogger(__name__)

# A phone on a teaching microscope: warm, soft. Beside it a camera with a bluer lamp, a smaller
# magnification, a hard tone curve, sharpened edges and dark corners.
FIRST_MICROSCOPE: Final = Microscope(
    field=30.0, white=(0.97, 0.90, 0.80), contrast=1.0, blur=(0.09, 0.16), sharpening=0.0,
    vignetting=0.06, noise=2.0, quality=(88, 94),
)  # fmt: skip
SECOND_MICROSCOPE: Final = Microscope(
    field=38.0, white=(0.88, 0.91, 0.93), contrast=1.15, blur=(0.13, 0.2), sharpening=0.8,
    vignetting=0.32, noise=4.0, quality=(66, 78),
)  # fmt: skip
MICROSCOPES: Final = {
    "Train": FIRST_MICROSCOPE,
    "Test-A": FIRST_MICROSCOPE,
    "Test-B": SECOND_MICROSCOPE,
}
CELLS_PER_TASK: Final = 25

FaultKind = Literal[
    "exact_duplicate",  # the same bytes as a Train cell, in Test-A
    "reencoded",  # a Train cell saved again at lower quality, in Test-A
    "resized",  # a Train cell made smaller and saved again, in Test-A
    "label_conflict",  # the same bytes as a Train lymphocyte, named monocyte
    "truncated",  # the first half of a JPEG
    "empty",  # no bytes
    "not_an_image",  # text
]
COPIES: Final = ("exact_duplicate", "reencoded", "resized")
# Label of the cell that the file is made from, label that it gets, part that it is planted in.
FAULTS: Final[dict[FaultKind, tuple[str, str, str]]] = {
    "exact_duplicate": ("neutrophil", "neutrophil", "Test-A"),
    "reencoded": ("lymphocyte", "lymphocyte", "Test-A"),
    "resized": ("neutrophil", "neutrophil", "Test-A"),
    "label_conflict": ("lymphocyte", "monocyte", "Train"),
    "truncated": ("neutrophil", "neutrophil", "Train"),
    "empty": ("lymphocyte", "lymphocyte", "Test-A"),
    "not_an_image": ("monocyte", "monocyte", "Train"),
}


@dataclass(frozen=True)
class Fault:
    """One planted file besides the drawn cells, and the cell it is made from ("": none)."""

    kind: FaultKind
    path: str
    label: str
    group: str
    part: str
    original: str


def fetch(source: SampleSource, target: Path, root: Path) -> pd.DataFrame:  # noqa: ARG001
    """Draw `source.num_cells` cells and the planted faults below `target`.

    Returns one row a file: path, label, group (the smear), official_split, mask ("").
    """
    cells = plan(source.num_cells)
    faults = planted_faults(source.num_cells)
    paths = [cell.path for cell in cells] + [fault.path for fault in faults]
    for folder in {(target / path).parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    log.info("Drawing %d cells of %d pixels.", len(cells), source.image_size)
    tasks = [
        cells[start : start + CELLS_PER_TASK] for start in range(0, len(cells), CELLS_PER_TASK)
    ]
    with (
        local_workers(),
        tqdm(total=len(cells), desc="draw", unit="cell", disable=None) as bar,
    ):
        parallel = Parallel(n_jobs=-1, return_as="generator")
        for num_drawn in parallel(
            delayed(_write_cells)(task, source.image_size, target) for task in tasks
        ):
            bar.update(num_drawn)
    for fault in faults:
        (target / fault.path).write_bytes(_fault_bytes(fault, target))
    rows = [(c.path, c.label, c.smear, OFFICIAL_SPLIT[c.part], "") for c in cells]
    rows += [(f.path, f.label, f.group, OFFICIAL_SPLIT[f.part], "") for f in faults]
    return pd.DataFrame(sorted(rows), columns=["path", "label", "group", "official_split", "mask"])


def draw_cell(cell: DrawnCell, size: int) -> bytes:
    """The JPEG of one cell, size x size pixels."""
    microscope = MICROSCOPES[cell.part]
    smear = zlib.crc32(cell.smear.encode())
    look = smear_look(np.random.default_rng([SEED, smear]), microscope)
    rng = np.random.default_rng([SEED, smear, cell.index + 1])
    quality = int(rng.integers(*microscope.quality))
    return _jpeg(Image.fromarray(draw(rng, cell.label, size, look, microscope)), quality)


def planted_faults(num_cells: int) -> tuple[Fault, ...]:
    """The faults in a sample of `num_cells`: ten from 600 cells on, one of each kind below."""
    copies = 2 if num_cells >= 600 else 1
    kinds = [kind for kind in FAULTS for _ in range(copies if kind in COPIES else 1)]
    cells = plan(num_cells)
    return tuple(_fault(kind, cells, number) for number, kind in enumerate(kinds))


def _fault(kind: FaultKind, cells: list[DrawnCell], number: int) -> Fault:
    """A fault made from a Train cell of its own, in a smear of the part where it is planted."""
    label, named, part = FAULTS[kind]
    originals = [c for c in cells if c.part == "Train" and c.label == label]
    original = originals[(3 + 7 * number) % len(originals)]
    hosts = [c.smear for c in cells if c.part == part and c.label == label]
    smear = hosts[(5 * number) % len(hosts)]
    free = 2 * len([c for c in cells if c.smear == smear]) + 2 * number
    path = cell_path(part, named, smear, free)
    made_from = "" if kind in ("empty", "not_an_image") else original.path
    return Fault(kind, path, named, smear, part, made_from)


def _fault_bytes(fault: Fault, target: Path) -> bytes:
    if fault.kind == "empty":
        return b""
    if fault.kind == "not_an_image":
        return b"This should have been a picture of a cell. It is a line of text.\n"
    data = (target / fault.original).read_bytes()
    if fault.kind == "truncated":
        return data[: len(data) // 2]
    if fault.kind in ("exact_duplicate", "label_conflict"):
        return data
    picture = Image.open(io.BytesIO(data))
    if fault.kind == "resized":
        side = round(0.8 * picture.width)
        return _jpeg(picture.resize((side, side), Image.Resampling.LANCZOS), 88)
    return _jpeg(picture, 70)


def _write_cells(cells: list[DrawnCell], size: int, target: Path) -> int:
    """Draw and write some cells; returns how many."""
    for cell in cells:
        (target / cell.path).write_bytes(draw_cell(cell, size))
    return len(cells)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
