"""Contact sheets of KRD-WBC: the cells as networks see them, and those that stay wrong.

    python -m benchmarks.generalisation.sheets --pbc DIR --weights FILE --work DIR --look DIR \\
        --variants "cell" --seeds 1 2 3 --out DIR

writes crops.png (cells of every class, of PBC and of KRD-WBC, one row each) and wrong.png, a row a
kind of mistake that all seeds' models make: the true class, the one decided, how many cells. A look
at KRD-WBC.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.generalisation.arguments import study_arguments, study_of
from benchmarks.generalisation.cells import divided, krd_wbc_cells
from benchmarks.generalisation.study import answers
from benchmarks.generalisation.variants import VARIANTS
from wbc.cells import CLASSES
from wbc.pixels import PixelStore
from wbc.sheet import NUM_COLUMNS, sheet_of

Row = tuple[str, NDArray[np.uint8]]  # words, squares (N, S, S, 3)


def main() -> None:
    parser = study_arguments(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    study, variant = study_of(arguments), VARIANTS[arguments.variants[0]]
    own = divided(arguments.pbc, study.raw_dir)
    other = krd_wbc_cells(arguments.look, study.raw_dir)
    preprocess, _ = variant.settings(study.params, study.size, study.epochs)
    stores = [study.store(cells, preprocess) for cells in (own, other)]
    for seed in arguments.seeds:
        answers(study, arguments.variants[0], variant, seed, own)  # trained
    tables = [
        answers(study, arguments.variants[0], variant, seed, other) for seed in arguments.seeds
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = (stores[0].part("test"), stores[1].part("krd-wbc"))
    sheet_of(crops(*parts)).save(arguments.out / "crops.png")
    decided = np.array([table.sort_values("path")["predicted"].to_list() for table in tables])
    sheet_of(wrong(parts[1], decided)).save(arguments.out / "wrong.png")


def crops(own: PixelStore, other: PixelStore) -> list[Row]:
    rows = []
    for name in CLASSES:
        for words, part in (("PBC", own), ("KRD-WBC", other)):
            places = np.flatnonzero(part.table["label"] == name)[:NUM_COLUMNS]
            rows.append((f"{name}\n{words}", part.read(list(places))))
    return rows


def wrong(part: PixelStore, decided: NDArray[np.str_]) -> list[Row]:
    """Cells whose decision is the same wrong one in all seeds; the most frequent kind first.

    decided: (seeds, N), in the order of the cells' paths.
    """
    order = np.argsort(part.table["path"].to_numpy(), kind="stable")
    labels = part.table["label"].to_numpy()[order]
    always = (decided == decided[0]).all(axis=0) & (decided[0] != labels)
    kinds = Counter(zip(labels[always], decided[0][always], strict=True))
    rows = []
    for (true, said), count in kinds.most_common():
        places = order[always & (labels == true) & (decided[0] == said)][:NUM_COLUMNS]
        rows.append((f"{true}\ncalled {said}, {count}", part.read(list(places))))
    return rows


if __name__ == "__main__":
    main()
