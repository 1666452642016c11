"""How often, how well and how fast the localiser finds the leukocyte.

    python -m benchmarks.localisation --krd-wbc DIR [--pbc DIR] [--working] [--changed] [--sheet P]

KRD-WBC has masks of the whole cell. A hit has its box's centre inside the mask and an
intersection over union with the mask's box of at least 0.5. Every sixth field is a working field,
on which the method was made; the other 500 are for the figure only (`--working` leaves them
alone). PBC has no masks: its contact sheet is judged by eye. `--changed` adds changed copies of
the working pictures: how far the method holds.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.changed_fields import CHANGES, Field, Pixels, bounds
from benchmarks.generalisation.microscopes import red_cells, stained_and_photographed
from wbc.decoding import decode
from wbc.imaging import Framing, prepare
from wbc.localisation import Box, locate

NUM_FIELDS = 600
WORKING = frozenset(range(6, NUM_FIELDS + 1, 6))
MIN_IOU = 0.5
TILE = 240  # pixels, side of a picture on the contact sheet
PBC_PER_CLASS = 20


@dataclass(frozen=True)
class Found:
    field: Field
    box: Box | None
    iou: float
    hit: bool


def main() -> None:
    arguments = parse_arguments()
    tiles: list[Image.Image] = []
    krd = arguments.krd_wbc / "Dataset"
    working = [score(field) for field in krd_fields(krd, WORKING)]
    print_scores("KRD-WBC working fields", working)
    empty = [part for number in sorted(WORKING) for part in empty_quarters(krd, number)]
    print(f"quarters without a leukocyte: a cell found in {count(empty)} of {len(empty)}")
    if not arguments.working:
        rest = frozenset(range(1, NUM_FIELDS + 1)) - WORKING
        others = [score(field) for field in krd_fields(krd, rest)]
        print_scores("KRD-WBC other fields", others)
        tiles += [tile(found) for found in others if not found.hit]
    if arguments.changed:
        print_changes("KRD-WBC working fields", [found.field for found in working])
    tiles += [tile(found) for found in sorted(working, key=lambda found: found.iou)]
    if arguments.pbc:
        pbc = list(pbc_fields(arguments.pbc))
        if arguments.changed:
            print_changes("PBC", pbc)
            print_laboratories(pbc)
        tiles += [tile(score(field)) for field in pbc]
    print_times(krd / "image", sorted(WORKING)[:20])
    if arguments.sheet:
        contact_sheet(tiles).save(arguments.sheet)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--krd-wbc", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pbc", type=Path, metavar="DIR")
    parser.add_argument("--working", action="store_true", help="leave the 500 other fields alone")
    parser.add_argument("--changed", action="store_true", help="also changed copies (a minute)")
    parser.add_argument("--sheet", type=Path, metavar="OUT.png", help="misses, then all boxes")
    return parser.parse_args()


def krd_fields(folder: Path, numbers: frozenset[int]) -> Iterator[Field]:
    """KRD-WBC's fields; the mask's largest part is the cell (its rim is speckled by JPEG)."""
    for number in sorted(numbers):
        pixels = decode((folder / "image" / f"image{number}.jpg").read_bytes())
        mask = decode((folder / "mask" / f"mask{number}.jpg").read_bytes())[..., 0] > 127
        labels, _ = ndimage.label(mask)
        largest = int(np.bincount(labels.ravel())[1:].argmax())
        yield Field(str(number), pixels, labels == largest + 1, bounds(labels == largest + 1))


def pbc_fields(folder: Path) -> Iterator[Field]:
    """Evenly spaced pictures of each class, with the box found in them as truth."""
    for directory in sorted(path for path in folder.iterdir() if path.is_dir()):
        paths = sorted(directory.iterdir())
        for path in paths[:: max(1, len(paths) // PBC_PER_CLASS)][:PBC_PER_CLASS]:
            pixels = decode(path.read_bytes())
            truth = locate(pixels) or Box(0, 0, 0, 0)
            yield Field(path.stem, pixels, None, truth)


def iou(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = max(0.0, min(a.right, b.right) - max(a.left, b.left))
    height = max(0.0, min(a.bottom, b.bottom) - max(a.top, b.top))
    union = a.width * a.height + b.width * b.height - width * height
    return width * height / union if union else 0.0


def score(field: Field) -> Found:
    box = locate(field.pixels)
    if box is None:
        return Found(field, None, 0.0, hit=False)
    overlap = iou(box, field.truth)
    inside = True
    if field.mask is not None:
        row, column = int((box.top + box.bottom) / 2), int((box.left + box.right) / 2)
        inside = bool(field.mask[row, column])
    return Found(field, box, overlap, hit=inside and overlap >= MIN_IOU)


def print_scores(title: str, results: list[Found]) -> None:
    hits = sum(found.hit for found in results)
    ious = np.array([found.iou for found in results])
    print(
        f"{title}: {hits} of {len(results)} found, median IoU {np.median(ious):.2f}, "
        f"lowest tenth below {np.quantile(ious, 0.1):.2f}"
    )
    misses = [f"{found.field.name} ({found.iou:.2f})" for found in results if not found.hit]
    if misses:
        print(f"  missed: {', '.join(misses)}")


def print_changes(title: str, fields: list[Field]) -> None:
    print(f"{title}, changed:")
    for name, change in CHANGES.items():
        results = [score(change(field)) for field in fields]
        hits = sum(found.hit for found in results)
        ious = np.median([found.iou for found in results])
        print(f"  {name:<22} {hits:>3} of {len(results)} found, median IoU {ious:.2f}")


def print_laboratories(fields: list[Field]) -> None:
    """Simulated laboratories, several at once, without their framing; and no cell in them."""
    results, empty = [], []
    for number, field in enumerate(fields):
        alone = red_cells(field.pixels, np.random.default_rng(number))
        changed, alone = (
            stained_and_photographed(pixels, np.random.default_rng(number))
            for pixels in (field.pixels, alone)
        )
        results.append(score(replace(field, pixels=changed)))
        empty.append(alone)
    hits = sum(found.hit for found in results)
    print(f"  simulated laboratories {hits} of {len(results)} found, IoU over 0.5")
    print(f"  red cells alone in them: a cell found in {count(empty)} of {len(empty)}")


def empty_quarters(folder: Path, number: int) -> list[Pixels]:
    """The quarters of a field of KRD-WBC that hold nothing of its mask.

    The mask is of one leukocyte; other cells and platelets may lie there.
    """
    (field,) = krd_fields(folder, frozenset([number]))
    assert field.mask is not None
    height, width = (length // 2 for length in field.mask.shape)
    parts = [np.s_[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
    return [field.pixels[part] for part in parts if not field.mask[part].any()]


def count(pictures: list[Pixels]) -> int:
    return sum(locate(pixels) is not None for pixels in pictures)


def print_times(folder: Path, numbers: list[int]) -> None:
    """Milliseconds of one core for 575 x 575 pixels (Raabin-WBC's size), best of five."""
    pictures = []
    for number in numbers:
        picture = Image.open(folder / f"image{number}.jpg").resize((575, 575))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())

    def seconds(work: Callable[[bytes], object]) -> float:
        best = []
        for data in pictures:
            spans = []
            for _ in range(5):
                start = time.process_time()
                work(data)
                spans.append(time.process_time() - start)
            best.append(min(spans))
        return float(np.mean(best))

    decoding = seconds(decode)
    whole = seconds(lambda data: prepare(data, Framing(224, "cell", 1.5)))
    print(
        f"core time a picture of 575 x 575: decode {1000 * decoding:.1f} ms, "
        f"locate + crop + resize {1000 * (whole - decoding):.1f} ms"
    )


def tile(found: Found) -> Image.Image:
    """The picture with the mask's box in green and the box found in red."""
    picture = Image.fromarray(found.field.pixels)
    scale = TILE / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    draw = ImageDraw.Draw(picture)
    boxes = [(found.box, "red")]
    if found.field.mask is not None:
        boxes.insert(0, (found.field.truth, "lime"))
    for box, colour in boxes:
        if box is not None:
            edges = [box.left, box.top, box.right, box.bottom]
            draw.rectangle([scale * edge for edge in edges], outline=colour)
    draw.text((2, 2), f"{found.field.name} {found.iou:.2f}", fill="blue")
    return picture


def contact_sheet(tiles: Sequence[Image.Image], columns: int = 10, side: int = TILE) -> Image.Image:
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for index, picture in enumerate(tiles):
        sheet.paste(picture, (index % columns * side, index // columns * side))
    return sheet


if __name__ == "__main__":
    main()
