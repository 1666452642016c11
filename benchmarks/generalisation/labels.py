"""What labelled cells of the other laboratory are worth, in training and in `adapt`.

    python -m benchmarks.generalisation.labels --pbc DIR --krd-wbc DIR --weights FILE --work DIR

Half of KRD-WBC (every second ten of its numbers, since neighbours may be of one smear) is learned
from, the other half judges; fields of the first half that are copies of one of the second are left
out. Printed, from three seeds, with what the first half adds to PBC's 900 training cells:

- in training, 0 to all of its cells in their natural shares, mixed with PBC's as they are, or each
  repeated until both laboratories have as many (`balanced`);
- in `adapt`, with 5 to 50 of its cells a class, fewer where it has fewer, from the model that has
  seen none.

This is no part of the study's choices: a laboratory that gives labels is another task.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.class_folders import fine_tuned
from benchmarks.generalisation import table
from benchmarks.generalisation.arguments import common_arguments
from benchmarks.generalisation.cells import divided, krd_wbc_cells, stored
from benchmarks.generalisation.variants import VARIANTS
from wbc import adapt, device, duplicates, model, params
from wbc.cells import CLASSES
from wbc.evaluation import judge, predict
from wbc.labelled import Draw
from wbc.metrics import predictions_table
from wbc.params import Train
from wbc.pixels import PixelStore
from wbc.plan import make_plan

BLOCK = 10  # neighbours in KRD-WBC's numbers that stay together
COUNTS = (38, 75, 150, 300)  # labelled cells in training
PER_CLASS = (5, 10, 20, 50)  # in adapt
MAX_BITS = 10  # between the hashes of copies: split.near_duplicate_bits in params.yaml
JUDGED = ("judge", "test")
OWN = [{"name": "folder", "role": "auto"}]  # whose cells `adapt` rehearses: PBC's


@dataclasses.dataclass(frozen=True)
class Trial:
    """What all rows share."""

    store: PixelStore
    train: Train
    network: str
    weights: Path | None
    dropout: float
    work: Path


def main() -> None:
    arguments = parse_arguments()
    trial = prepare(arguments)
    print("| labelled cells of KRD-WBC | used in | KRD-WBC: balanced accuracy | macro-F1 |"
          " PBC's test: balanced accuracy |\n|---|---|---|---|---|", flush=True)  # fmt: skip
    show("0", "", [joint(trial, s, 0, False) for s in arguments.seeds])
    for count in COUNTS:
        for balanced in (False, True):
            tables = [joint(trial, seed, count, balanced) for seed in arguments.seeds]
            show(str(count), "training" + ", balanced" * balanced, tables)
    for per_class in PER_CLASS:
        tables = [adapted(trial, seed, per_class) for seed in arguments.seeds]
        show(f"{per_class} a class", "adapt", tables)


def parse_arguments() -> argparse.Namespace:
    parser = common_arguments(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--krd-wbc", type=Path, required=True)
    parser.add_argument("--variant", default="cell", choices=list(VARIANTS))
    return parser.parse_args()


def prepare(arguments: argparse.Namespace) -> Trial:
    """The store of PBC's parts and both halves; features of frozen layers are cached in training,
    which for a recipe that lets only the upper layers learn is several times as fast.
    """
    settings = params.load(Path("params.yaml"))
    preprocess, train = VARIANTS[arguments.variant].settings(
        settings, arguments.size, arguments.epochs
    )
    cached = 8 if train.unfreeze == "upper" else 0
    raw_dir = arguments.work.resolve() / "raw"
    own = divided(arguments.pbc, raw_dir)
    own = own[own["split"].isin(["train", "val", "test"])]
    other = halves(krd_wbc_cells(arguments.krd_wbc, raw_dir), raw_dir)
    cells = pd.concat([own, other], ignore_index=True)
    name = f"labels-{arguments.variant}-{arguments.size}"
    store = stored(cells, raw_dir, arguments.work.resolve() / "pixels" / name, preprocess)
    return Trial(
        store,
        dataclasses.replace(train, threads=arguments.threads, cache_views=cached),
        arguments.network,
        arguments.weights,
        settings.model.dropout,
        arguments.work.resolve() / "labels" / f"{arguments.network}-{name}",
    )


def halves(cells: pd.DataFrame, raw_dir: Path) -> pd.DataFrame:
    """KRD-WBC's cells as `learn` and `judge`, without those of `learn` that `judge` shows too."""
    numbers = cells["path"].str.extract(r"(\d+)\.\w+$")[0].astype(int)
    learns = ((numbers - 1) // BLOCK % 2 == 0).to_numpy()
    prints = duplicates.fingerprint([raw_dir / path for path in cells["path"]], jobs=1)
    copies = duplicates.find(prints, MAX_BITS)
    pairs = [(a, b) for a, b, _ in copies.near] + list(enumerate(copies.picture))
    twice = {a for pair in pairs for a, b in (pair, pair[::-1]) if learns[a] and not learns[b]}
    print(f"{len(twice)} cells of the first half are left out: the second shows them too")
    split = np.where(learns, "learn", "judge")
    kept = [row for row in range(len(cells)) if row not in twice]
    return cells.assign(split=split, source="krd-wbc").iloc[kept]


def joint(trial: Trial, seed: int, count: int, balanced: bool) -> pd.DataFrame:
    """predictions.csv of a model that learned from PBC and `count` cells of the first half."""
    folder = trial.work / f"joint-{count}-{balanced}-{seed}"
    if not (folder / model.CARD_FILE).is_file():
        own = trial.store.part("train").table
        other = shuffled(trial, seed).head(count)
        repeats = round(len(own) / len(other)) if balanced and count else 1
        learned = pd.concat([own, *[other] * repeats]).assign(split="train")
        lesson = pd.concat([learned, trial.store.part("val").table], ignore_index=True)
        outcome, plan = fine_tuned(
            trial.network, trial.weights, trial.dropout, trial.train, seed,
            dataclasses.replace(trial.store, table=lesson),
        )  # fmt: skip
        model.save(folder, outcome.network, card(trial, list(plan.log_prior)))
    return answers(trial, folder)


def adapted(trial: Trial, seed: int, per_class: int) -> pd.DataFrame:
    """The same of the model without such cells after `adapt` with some of each class."""
    folder, parent = trial.work / f"adapt-{per_class}-{seed}", trial.work / f"joint-0-False-{seed}"
    if not (folder / model.CARD_FILE).is_file():
        order = shuffled(trial, seed)
        drawn = pd.concat([order[order["label"] == name].head(per_class) for name in CLASSES])
        paths = trial.store.part("learn").table["path"]
        rows = np.flatnonzero(paths.isin(drawn["path"])).astype(np.int64)
        job = adapt.Adaptation("learn", per_class, seed, adapt.RECIPE)
        start = card(trial, []) | {"sources": OWN, "parameters": {"model.dropout": trial.dropout}}
        lesson = adapt.lesson(trial.store, Draw(rows, rows[:0], 0, ()), start, job)
        train = adapt.settings(trial.train, job.recipe)
        with tempfile.TemporaryDirectory() as scratch:
            outcome = adapt.fine_tune(
                parent, start, lesson, train, seed,
                device.pick("cpu", "auto", train.threads), Path(scratch),
            )  # fmt: skip
        plan = make_plan(train, seed, pretrained=True, labels=lesson.part("train").labels)
        model.save(folder, outcome.network, card(trial, list(plan.log_prior)))
    return answers(trial, folder)


def shuffled(trial: Trial, seed: int) -> pd.DataFrame:
    learn = trial.store.part("learn").table
    return learn.iloc[np.random.default_rng((seed, 40)).permutation(len(learn))]


def card(trial: Trial, log_prior: list[float]) -> model.Card:
    return {
        "architecture": trial.network,
        "log_prior": log_prior,
        "decision": "logit_adjustment",
        "input": dict(trial.store.settings),
    }


def answers(trial: Trial, folder: Path) -> pd.DataFrame:
    return pd.concat(list(_answers(trial, model.load(folder))))


def _answers(trial: Trial, classifier: model.Classifier) -> Iterator[pd.DataFrame]:
    for name in JUDGED:
        part = trial.store.part(name)
        judged = judge(classifier, predict(classifier, part, 64), part)
        yield predictions_table(part.table, judged.decisions, judged.calibrated)


def show(cells: str, used: str, tables: list[pd.DataFrame]) -> None:
    there, home = (table.mean_scores(tables, name) for name in JUDGED)
    shown = [*[table.percent(there[score]) for score in table.SHOWN],
             table.percent(home["balanced_accuracy"])]  # fmt: skip
    print(f"| {cells} | {used} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
