"""What each part of the recipe is worth in laboratories that training never saw.

    python -m benchmarks.generalisation --pbc DIR --weights FILE --work DIR [--variants cell]

trains every variant from every seed on PBC's cells and prints its balanced accuracy in simulated
laboratories (benchmarks/generalisation/microscopes.py), by which variants are chosen, beside that
on PBC itself. What is in --work is not made again, so an interrupted run goes on. With

    --look DIR

the variants named are tried on KRD-WBC: a look, which docs/generalisation.md has to list.
"""

import argparse
import logging

import pandas as pd

from benchmarks.generalisation import table
from benchmarks.generalisation.arguments import study_arguments, study_of
from benchmarks.generalisation.cells import divided, krd_wbc_cells
from benchmarks.generalisation.microscopes import LABORATORIES
from benchmarks.generalisation.study import Study, answers
from benchmarks.generalisation.variants import VARIANTS
from wbc.cells import CLASSES

COLUMNS = [*LABORATORIES, "choose", "test"]


def main() -> None:
    arguments = study_arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    logging.basicConfig(level=logging.WARNING)
    study = study_of(arguments)
    cells = divided(arguments.pbc, study.raw_dir)
    if arguments.look:
        look(study, arguments, cells)
    else:
        choose(study, arguments, cells)


def choose(study: Study, arguments: argparse.Namespace, cells: pd.DataFrame) -> None:
    print(f"Balanced accuracy in percent, mean of {len(arguments.seeds)} seeds ± their sd")
    print(f"| variant | mean of laboratories | worst | {' | '.join(COLUMNS)} |")
    print("|---|" + "---|" * (len(COLUMNS) + 2), flush=True)
    for name in arguments.variants:
        tables = [answers(study, name, VARIANTS[name], seed, cells) for seed in arguments.seeds]
        found = {s: table.mean_scores(tables, s)["balanced_accuracy"] for s in COLUMNS}
        mean = table.mean_scores(tables, *LABORATORIES)["balanced_accuracy"]
        worst = min(100 * found[laboratory][0] for laboratory in LABORATORIES)
        shown = [table.percent(found[each], interval=False) for each in COLUMNS]
        print(f"| {name} | {table.percent(mean)} | {worst:.1f} | {' | '.join(shown)} |", flush=True)


def look(study: Study, arguments: argparse.Namespace, cells: pd.DataFrame) -> None:
    """Models that `choose` made, on KRD-WBC's cells."""
    external = krd_wbc_cells(arguments.look, study.raw_dir)
    print("| variant | seeds | balanced accuracy | macro-F1 |")
    print("|---|---|---|---|")
    for name in arguments.variants:
        for seed in arguments.seeds:
            answers(study, name, VARIANTS[name], seed, cells)  # trained
        tables = [answers(study, name, VARIANTS[name], seed, external) for seed in arguments.seeds]
        found = table.mean_scores(tables, "krd-wbc")
        shown = [table.percent(found[score]) for score in table.SHOWN]
        print(f"| {name} | {len(arguments.seeds)} | {' | '.join(shown)} |")
        for share in (1.0, 0.8):
            accuracy, balanced = table.accuracies(table.surest(tables, share), "krd-wbc")
            print(f"the surest {share:.0%}: accuracy {accuracy:.1%}, balanced {balanced:.1%}")
        counts = pd.DataFrame(table.confusion_of(tables, "krd-wbc"), CLASSES, CLASSES)
        print(f"\n{counts.to_string()}\n", flush=True)


if __name__ == "__main__":
    main()
