"""Whether a leukocyte that was cut out of its field is seen as it was in the field.

    python -m benchmarks.cut_cells --pbc DIR [--krd-wbc DIR] [--model models/googlenet]
                                   [--num-fields 10]

`differential --fields` decides in the field, on the pixels of `predict --fields`. The pictures that
it cuts out are what a person sees and what `review --export` gives to training, where they are
pictures of single cells: the leukocyte is looked for again, in less surroundings. Printed is how
often the box found then has an intersection over union of at least 0.5 and 0.9 with the one in the
field, and how often the model decides the same. Fields are those of benchmarks.fields.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.changed_fields import Pixels
from benchmarks.fields import FIRST, montage
from benchmarks.localisation import iou, krd_fields
from wbc import model
from wbc.fields import AROUND, Cell, prepare_field
from wbc.framing import Framing
from wbc.imaging import prepare
from wbc.localisation import Box, locate
from wbc.predicting.command import framing_of
from wbc.predicting.fields import png

LAYOUTS = ("apart", "touching", "cut", "small")
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pbc", type=Path, required=True, metavar="DIR")
    parser.add_argument("--krd-wbc", type=Path, metavar="DIR", help="also its first 60 fields")
    parser.add_argument("--model", type=Path, default=Path("models/googlenet"), metavar="FOLDER")
    parser.add_argument("--num-fields", type=int, default=10, help="montages of each layout")
    arguments = parser.parse_args()
    classifier = model.load(arguments.model)
    paths = sorted(arguments.pbc.glob("*/*.jpg"))
    for layout in LAYOUTS:
        numbers = range(FIRST, FIRST + arguments.num_fields)
        report(layout, (montage(paths, layout, number)[0] for number in numbers), classifier)
    if arguments.krd_wbc:
        fields = krd_fields(arguments.krd_wbc / "Dataset", frozenset(range(1, 61)))
        report("KRD-WBC", (one.pixels for one in fields), classifier)


def report(title: str, fields: Iterable[Pixels], classifier: model.Classifier) -> None:
    framing = framing_of(classifier.card)
    found = [
        cell for pixels in fields for cell in prepare_field(png(pixels), framing, around=True)[1]
    ]
    overlaps = np.array([overlap(cell) for cell in found])
    own = decisions(classifier, (cell.pixels for cell in found))
    alone = decisions(classifier, squares(found, framing))
    half, most, same = ((overlaps >= 0.5).mean(), (overlaps >= 0.9).mean(), (own == alone).mean())
    print(
        f"{title}: {len(found)} cells; overlap of at least 0.5 {half:.3f}, of at least 0.9"
        f" {most:.3f}; same decision {same:.3f}",
        flush=True,
    )


def overlap(cell: Cell) -> float:
    """Of the boxes in the field and in the picture cut out, in whose middle the first one lies."""
    assert cell.around is not None
    side = cell.around.shape[0]
    times = round(AROUND * max(cell.place.width, cell.place.height) / side)
    width, height = cell.place.width / times, cell.place.height / times
    left, top = (side - width) / 2, (side - height) / 2
    inside = Box(left, top, left + width, top + height)
    again = locate(cell.around)
    return 0.0 if again is None else iou(inside, again)


def squares(found: Iterable[Cell], framing: Framing) -> Iterator[Pixels]:
    wide = (cell.around for cell in found if cell.around is not None)
    return (prepare(png(each), framing).pixels for each in wide)


def decisions(classifier: model.Classifier, pixels: Iterable[Pixels]) -> np.ndarray:
    every = np.stack(list(pixels))
    batches = (every[start : start + BATCH] for start in range(0, len(every), BATCH))
    logits = classifier.all_outputs(batches).logits
    return classifier.decide(classifier.probabilities_of(logits, calibrated=False))


if __name__ == "__main__":
    main()
