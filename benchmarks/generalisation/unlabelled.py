"""What a correction by the mix of a folder (wbc.blood_mix) brings, and where it harms.

    python -m benchmarks.generalisation.unlabelled --pbc DIR --weights FILE --work DIR

takes models of the study (trained unless they are there) and, of the cells that each simulated
laboratory sees, folders in five mixes: that of blood, many lymphocytes, a leukaemia, many
neutrophils, even classes. For each concentration of the expectation it prints the change of
balanced accuracy in points on all of the laboratory's cells, mean over laboratories, folders and
seeds. With `--look DIR` the correction is applied to KRD-WBC's cells by themselves: a look.
"""

import argparse
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.generalisation import table
from benchmarks.generalisation.arguments import study_arguments, study_of
from benchmarks.generalisation.cells import divided, krd_wbc_cells
from benchmarks.generalisation.microscopes import LABORATORIES
from benchmarks.generalisation.study import answers
from benchmarks.generalisation.variants import VARIANTS
from wbc import blood_mix
from wbc.cells import CLASSES
from wbc.metrics import class_indices

CONCENTRATIONS: Final = (2.5, 5.0, 10.0, 30.0)
NUM_CELLS: Final = 75  # of a folder, of which each class has at least one
NUM_FOLDERS: Final = 3
MIXES: Final = {
    "blood": (0.60, 0.30, 0.06, 0.03, 0.01),
    "lymphocytosis": (0.15, 0.78, 0.04, 0.02, 0.01),
    "leukaemia": (0.05, 0.92, 0.01, 0.01, 0.01),
    "neutrophilia": (0.90, 0.06, 0.02, 0.01, 0.01),
    "even": (0.2, 0.2, 0.2, 0.2, 0.2),
}

Logits = NDArray[np.float64]
Labels = NDArray[np.int64]


def main() -> None:
    arguments = study_arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    study = study_of(arguments)
    cells = divided(arguments.pbc, study.raw_dir)
    external = krd_wbc_cells(arguments.look, study.raw_dir) if arguments.look else None
    if external is None:
        print(f"| variant | concentration | {' | '.join(MIXES)} |\n|---|---|{'---|' * len(MIXES)}")
    for name in arguments.variants:
        tables = [answers(study, name, VARIANTS[name], seed, cells) for seed in arguments.seeds]
        if external is None:
            show_gains(name, tables)
            continue
        tables = [answers(study, name, VARIANTS[name], s, external) for s in arguments.seeds]
        for words, found in (("as it is", tables), ("corrected", list(map(corrected, tables)))):
            scores = table.mean_scores(found, "krd-wbc")
            shown = [table.percent(scores[score]) for score in table.SHOWN]
            print(f"| {name}, {words} | {len(tables)} | {' | '.join(shown)} |", flush=True)


def show_gains(name: str, tables: list[pd.DataFrame]) -> None:
    sets = [_logits(t[t["set"] == laboratory]) for t in tables for laboratory in LABORATORIES]
    for concentration in CONCENTRATIONS:
        means = [
            np.mean([gain(*each, mix, concentration, number) for each in sets
                     for number in range(NUM_FOLDERS)])
            for mix in MIXES.values()
        ]  # fmt: skip
        shown = [f"{100 * mean:+.1f}" for mean in means]
        print(f"| {name} | {concentration:g} | {' | '.join(shown)} |", flush=True)


def gain(
    logits: Logits, labels: Labels, mix: tuple[float, ...], concentration: float, number: int
) -> float:
    """Change of balanced accuracy on all cells by a folder of some of them."""
    rng = np.random.default_rng(number)
    rows = [
        rng.permutation(np.flatnonzero(labels == k))[: max(1, round(share * NUM_CELLS))]
        for k, share in enumerate(mix)
    ]
    added = blood_mix.offsets(logits[np.concatenate(rows)], concentration)
    return _balanced(logits + added, labels) - _balanced(logits, labels)


def corrected(answers: pd.DataFrame) -> pd.DataFrame:
    """The answers after the correction by their own mix."""
    logits, _ = _logits(answers)
    decided = (logits + blood_mix.offsets(logits)).argmax(axis=1)
    return answers.assign(predicted=[CLASSES[k] for k in decided])


def _logits(answers: pd.DataFrame) -> tuple[Logits, Labels]:
    """The study's classes are even in training, so the logarithms of probabilities will do."""
    given = answers[[f"p_{name}" for name in CLASSES]].to_numpy(dtype=np.float64)
    return np.log(np.maximum(given, 1e-6)), class_indices(list(answers["label"]))


def _balanced(logits: Logits, labels: Labels) -> float:
    right = logits.argmax(axis=1) == labels
    return float(np.mean([right[labels == k].mean() for k in range(len(CLASSES))]))


if __name__ == "__main__":
    main()
