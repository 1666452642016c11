"""How many leukocytes of whole fields are found, and what else is.

    python -m benchmarks.fields --pbc DIR [--krd-wbc DIR] [--num-fields 30] [--sheet FOLDER]

Two kinds of fields. KRD-WBC has one masked leukocyte a field: a find whose box has an intersection
over union of at least 0.5 with the mask's counts; all others are extra, and are to be looked at
(`--sheet`), since a field may hold a second leukocyte. Montages are made here: drawn red cells and
platelets (wbc.sources.drawing) at the scale of PBC, and on them 2 to 12 leukocytes cut out of PBC
pictures with a soft rim, over the drawn glass. Their boxes are those found in the single pictures
(docs/localisation.md says how well these hold). Layouts: apart; touching, in pairs; cut by the
border; empty, without a leukocyte; small, apart at half the scale. One rule
(wbc.fields.CLOSE_UP) was chosen by a field of KRD-WBC (docs/predict.md).
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.changed_fields import Pixels
from benchmarks.localisation import MIN_IOU, NUM_FIELDS, contact_sheet, iou, krd_fields
from benchmarks.rims import soft_rim
from wbc.decoding import decode
from wbc.fields import box_of, outlines
from wbc.localisation import Box, outline
from wbc.sources import drawing
from wbc.sources.leukocytes import NUM_STAINS, PINK
from wbc.sources.sample import FIRST_MICROSCOPE
from wbc.staining import background_colour

SIZE = 1280  # pixels, side of a montage; a PBC cell is 100 to 200 wide
PIXELS_PER_UM = 9.6  # PBC's red cells are 72 pixels wide
LAYOUTS = ("apart", "touching", "cut", "empty", "small")
FIRST = 200  # number of the first montage; those before it were looked at while this was made
GAP = 1.5  # of both cells' radii between centres that lie apart
TOUCH = 0.95  # likewise where they touch
NUM_PLATELETS = 8  # calls, 1.3 each
SIDE = 480  # pixels, longer side of a field on a sheet


@dataclass(frozen=True)
class Cutout:
    """A leukocyte on transparent ground; `box` is in its own pixels."""

    pixels: Pixels
    share: np.ndarray
    box: Box


@dataclass
class Score:
    found: int = 0
    missed: int = 0
    extra: int = 0
    shown: list[Image.Image] = field(default_factory=list)

    def __str__(self) -> str:
        cells, finds = self.found + self.missed, self.found + self.extra
        recall = f"recall {self.found / cells:.3f}" if cells else "no cell"
        precision = f"precision {self.found / finds:.3f}" if finds and cells else ""
        return f"{self.found} of {cells} found, {self.extra} extra; {recall} {precision}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pbc", type=Path, required=True, metavar="DIR")
    parser.add_argument("--krd-wbc", type=Path, metavar="DIR")
    parser.add_argument("--num-fields", type=int, default=30, help="montages of each layout")
    parser.add_argument("--sheet", type=Path, metavar="FOLDER", help="fields with errors, drawn")
    arguments = parser.parse_args()
    paths = sorted(arguments.pbc.glob("*/*.jpg"))
    numbers = range(FIRST, FIRST + arguments.num_fields)
    for layout in LAYOUTS:
        montages = (montage(paths, layout, number) for number in numbers)
        report(f"montages, {layout}", montages, arguments.sheet)
    if arguments.krd_wbc:
        every = frozenset(range(1, NUM_FIELDS + 1))
        fields = krd_fields(arguments.krd_wbc / "Dataset", every)
        report("KRD-WBC", ((one.pixels, [one.truth]) for one in fields), arguments.sheet)


def report(title: str, fields: Iterator[tuple[Pixels, list[Box]]], folder: Path | None) -> None:
    score, seconds, number = Score(), 0.0, 0
    for number, (pixels, truth) in enumerate(fields, start=1):  # noqa: B007
        start = time.perf_counter()
        boxes = [box_of(cell) for cell in outlines(pixels)]
        seconds += time.perf_counter() - start
        compare(score, pixels, boxes, truth)
    print(
        f"{title}: {number} fields, {score}, {1000 * seconds / number:.0f} ms a field", flush=True
    )
    if folder and score.shown:
        folder.mkdir(parents=True, exist_ok=True)
        contact_sheet(score.shown, 4, SIDE).save(folder / f"{title.replace(', ', '-')}.png")


def compare(score: Score, pixels: Pixels, boxes: Sequence[Box], truth: Sequence[Box]) -> None:
    """One to one, the largest overlaps first."""
    pairs = [(iou(box, real), i, j) for i, box in enumerate(boxes) for j, real in enumerate(truth)]
    used: set[int] = set()
    hit: set[int] = set()
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap >= MIN_IOU and i not in used and j not in hit:
            used.add(i)
            hit.add(j)
    score.found += len(hit)
    score.missed += len(truth) - len(hit)
    score.extra += len(boxes) - len(used)
    if len(hit) < len(truth) or len(used) < len(boxes):
        score.shown.append(drawn(pixels, boxes, truth))


def montage(paths: Sequence[Path], layout: str, number: int) -> tuple[Pixels, list[Box]]:
    """A field, the same for the same number, and the boxes of the leukocytes in it."""
    rng = np.random.default_rng([LAYOUTS.index(layout), number])
    scale = 0.5 if layout == "small" else 1.0
    ground = background(rng, scale)
    if layout == "empty":
        return ground, []
    glass, canvas = background_colour(ground), ground.astype(np.float32)
    truth: list[Box] = []
    wanted = int(rng.integers(2, 13))
    for _ in range(20 * wanted):
        if len(truth) >= wanted:
            break
        if (cut := cutout(paths[int(rng.integers(len(paths)))], glass, scale)) is None:
            continue
        beside = truth[-1] if layout == "touching" and len(truth) % 2 else None
        centre = place(rng, cut, truth, layout, canvas.shape, beside)
        if centre is not None:
            truth.append(paste(canvas, cut, centre))
    return canvas.round().clip(0, 255).astype(np.uint8), truth


def background(rng: np.random.Generator, scale: float) -> Pixels:
    """Red cells and platelets at `scale` times PBC's."""
    microscope = replace(FIRST_MICROSCOPE, field=SIZE / (scale * PIXELS_PER_UM))
    look = drawing.smear_look(rng, microscope)
    stains = np.zeros((NUM_STAINS, SIZE, SIZE))
    stains[PINK] = look.background
    nowhere = (-9.0 * SIZE, -9.0 * SIZE)
    drawing._add_red_cells(rng, stains, look, microscope, nowhere, 0.0)
    for _ in range(NUM_PLATELETS):
        drawing._add_platelets(rng, stains, scale * PIXELS_PER_UM, nowhere, 0.0)
    return drawing._photograph(rng, stains, look, microscope)


def cutout(path: Path, glass: np.ndarray, scale: float) -> Cutout | None:
    """The picture's one leukocyte, whole, over `glass`; None where there are more or it is cut."""
    picture = Image.fromarray(decode(path.read_bytes()))
    if scale != 1:
        picture = picture.resize((round(scale * picture.width), round(scale * picture.height)))
    pixels = np.asarray(picture)
    found = outline(pixels)
    if found is None or len(outlines(pixels)) != 1:
        return None
    box = box_of(found)
    if min(box.left, box.top, pixels.shape[1] - box.right, pixels.shape[0] - box.bottom) < 8:
        return None
    changed = (pixels * (glass / background_colour(pixels))).clip(0, 255)
    return Cutout(changed, soft_rim(found, *pixels.shape[:2]), box)


def place(
    rng: np.random.Generator,
    cut: Cutout,
    truth: Sequence[Box],
    layout: str,
    shape: tuple[int, ...],
    beside: Box | None,
) -> tuple[float, float] | None:
    """A centre for the cell's box that keeps its distance; None if there was no luck."""
    radius = max(cut.box.width, cut.box.height) / 2
    height, width = shape[:2]
    for _ in range(50):
        if beside is not None:
            angle = rng.uniform(0, 2 * np.pi)
            reach = TOUCH * (radius + max(beside.width, beside.height) / 2)
            x = (beside.left + beside.right) / 2 + reach * np.cos(angle)
            y = (beside.top + beside.bottom) / 2 + reach * np.sin(angle)
        else:
            x = rng.uniform(radius, width - radius)
            y = rng.uniform(radius, height - radius)
            if layout == "cut":  # a third of the cell's box is gone
                x = rng.choice([radius / 3, width - radius / 3])
        inside = layout == "cut" or (radius < x < width - radius and radius < y < height - radius)
        others = [box for box in truth if box is not beside]
        if inside and all(_apart(x, y, radius, other) for other in others):
            return float(x), float(y)
    return None


def _apart(x: float, y: float, radius: float, other: Box) -> bool:
    away = np.hypot(x - (other.left + other.right) / 2, y - (other.top + other.bottom) / 2)
    return bool(away > GAP * (radius + max(other.width, other.height) / 2))


def paste(canvas: np.ndarray, cut: Cutout, centre: tuple[float, float]) -> Box:
    """Lay the cell on the canvas; its box, as far as it lies inside."""
    left = round(centre[0] - (cut.box.left + cut.box.right) / 2)
    top = round(centre[1] - (cut.box.top + cut.box.bottom) / 2)
    height, width = cut.share.shape
    rows = slice(max(0, top), min(canvas.shape[0], top + height))
    columns = slice(max(0, left), min(canvas.shape[1], left + width))
    inner = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    share = cut.share[inner][..., None]
    canvas[rows, columns] += share * (cut.pixels[inner] - canvas[rows, columns])
    return Box(
        max(0.0, cut.box.left + left),
        max(0.0, cut.box.top + top),
        min(float(canvas.shape[1]), cut.box.right + left),
        min(float(canvas.shape[0]), cut.box.bottom + top),
    )


def drawn(pixels: Pixels, boxes: Sequence[Box], truth: Sequence[Box]) -> Image.Image:
    """What is there in green, what was found in red."""
    picture = Image.fromarray(pixels)
    scale = SIDE / max(picture.size)
    picture = picture.resize((round(scale * picture.width), round(scale * picture.height)))
    draw = ImageDraw.Draw(picture)
    for colour, ones in (("lime", truth), ("red", boxes)):
        for box in ones:
            edges = [scale * edge for edge in (box.left, box.top, box.right, box.bottom)]
            draw.rectangle(edges, outline=colour, width=2)
    return picture


if __name__ == "__main__":
    main()
