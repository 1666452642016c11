"""How often `wbc drift` raises a false alarm, and how often it sees another laboratory.

Run where `dvc repro` has run with an external source, on one laboratory's pictures:

    python -m benchmarks.drift mobilenet_v2 krd-wbc --work scratch/drift

Folders are drawn without replacement from the model's own test cells: as they come, in another mix
of classes, and as simulated laboratories (benchmarks/generalisation/microscopes.py) would have
taken them; and from the external set. --work keeps what the model says of the simulated pictures.
"""

import argparse
import dataclasses
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from PIL import Image

from benchmarks.generalisation.microscopes import LABORATORIES, seen_by
from wbc import imaging, model, reference
from wbc.cells import CLASSES
from wbc.drift.findings import Cells, compare, joined, usual_cells
from wbc.drift.verdict import FEW, LIKE, MIX, OUTSIDE, SHIFTED, conclude
from wbc.framing import Framing
from wbc.model import Classifier
from wbc.picture_statistics import picture_statistics
from wbc.pixels import PixelStore, open_store
from wbc.reference import Reference
from wbc.shift_report import reference_set

BLOOD = {"neutrophil": 60, "lymphocyte": 30, "monocyte": 6, "eosinophil": 3, "basophil": 1}
COLUMNS = (LIKE, MIX, SHIFTED, OUTSIDE, FEW)
Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architecture")
    parser.add_argument("external", help="name of the external set")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    store, folder = open_store(Path("data/pixels")), Path("models") / options.architecture
    classifier, known = model.load(folder), reference.read(folder / reference.REFERENCE_FILE)
    assert known is not None
    own = store.part(reference_set([s for s in store.evaluation_sets() if s != options.external]))
    usual = usual_cells(known, classifier.card)
    test = judged(classifier, known, own.read(list(range(len(own)))))
    print(f"| folder | cells | {' | '.join(COLUMNS)} |")
    print("|---|---:|" + "---:|" * len(COLUMNS), flush=True)
    for size in options.sizes:
        draws = list(random_draws(len(test), size, options.draws))
        show("own test cells", size, Counter(word(test.some(rows), usual) for rows in draws))
        show("the same, reference redrawn", size, redrawn(test, usual, size, options.draws))
        mixed = blood_draws(test, size, options.draws)
        show("own test cells, mix of blood", size,
             Counter(word(test.some(rows), usual) for rows in mixed))  # fmt: skip
    external = store.part(options.external)
    framing = Framing.of(classifier.card["input"])
    for name in (options.external, *LABORATORIES):
        path = options.work / f"{options.architecture}-{name}.npy"
        if name == options.external:
            squares = external.read(list(range(len(external))))
        elif path.is_file():
            squares = np.load(path)
        else:
            squares = simulated(own, name, framing)
            np.save(path, squares)
        cells = judged(classifier, known, squares)
        for size in options.sizes:
            draws = list(random_draws(len(cells), size, options.draws))
            show(name, size, Counter(word(cells.some(rows), usual) for rows in draws))


def word(found: Cells, usual: Cells) -> str:
    findings = compare(found, usual, len(CLASSES))
    return conclude(findings, found, usual, CLASSES).word


def show(name: str, size: int, counts: Counter[str]) -> None:
    total = sum(counts.values())
    shares = " | ".join(f"{counts[each] / total:.1%}" for each in COLUMNS)
    print(f"| {name} | {size} | {shares} |", flush=True)


def random_draws(num_cells: int, size: int, num_draws: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(27)
    for _ in range(num_draws):
        yield rng.permutation(num_cells)[:size]


def blood_draws(cells: Cells, size: int, num_draws: int) -> Iterator[NDArray[np.int64]]:
    """In the mix of BLOOD, by the classes decided on; with replacement where they are too few."""
    rng = np.random.default_rng(28)
    shares = np.array([BLOOD[name] for name in CLASSES]) / 100
    for _ in range(num_draws):
        counts = rng.multinomial(size, shares)
        rows = [np.flatnonzero(cells.classes == k) for k in range(len(CLASSES))]
        yield np.concatenate(
            [rng.choice(of, n, replace=n > len(of)) for of, n in zip(rows, counts, strict=True)]
        )


def redrawn(test: Cells, usual: Cells, size: int, num_draws: int) -> Counter[str]:
    """Reference and folder from one heap of cells that the model has not learned from."""
    both = joined([test, usual])
    found: Counter[str] = Counter()
    for rows in random_draws(len(both), len(usual) + size, num_draws):
        here, there = both.some(rows[:size]), both.some(rows[size:])
        rank = int(np.ceil(reference.USUAL_SHARE * len(there))) - 1
        limit = np.sort(there.distance)[rank]
        found[word(beyond(here, limit), beyond(there, limit))] += 1
    return found


def beyond(cells: Cells, limit: float) -> Cells:
    return dataclasses.replace(cells, far=cells.distance > limit)


def judged(classifier: Classifier, known: Reference, squares: Pixels) -> Cells:
    """What `wbc drift` compares, of squares (N, S, S, 3)."""
    batches = [squares[start : start + 64] for start in range(0, len(squares), 64)]
    outputs = classifier.all_outputs(batches)
    table = picture_statistics(squares)
    pictures = {name: table[name].to_numpy(np.float64) for name in table}
    distance = np.round(reference.distances(known, outputs.features), 6)
    answered = Reference(known.features, distance, outputs.logits, pictures)
    return beyond(usual_cells(answered, classifier.card), known.limit)


def simulated(own: PixelStore, laboratory: str, framing: Framing) -> Pixels:
    """The set's cells as a laboratory would have taken them, cropped as the model wants them."""
    paths = [Path("data/raw") / path for path in own.table["path"]]
    squares = Parallel(n_jobs=-1)(
        delayed(_square)(path, laboratory, number, framing) for number, path in enumerate(paths)
    )
    return np.stack(squares)


def _square(path: Path, laboratory: str, number: int, framing: Framing) -> Pixels:
    picture = np.asarray(Image.open(path).convert("RGB"))
    stream = io.BytesIO()
    Image.fromarray(seen_by(laboratory, picture, number)).save(stream, "PNG", compress_level=1)
    return imaging.prepare(stream.getvalue(), framing).pixels


if __name__ == "__main__":
    main()
