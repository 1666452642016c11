"""`python -m wbc adapt`: from a finished model and a few labelled cells to a model of their own."""

import argparse
import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from wbc import (
    adapt,
    adapt_report,
    device,
    evaluation,
    metrics,
    model,
    params,
    reference,
    reference_cells,
)
from wbc.adaptable import check, own_sets, own_test, read_card
from wbc.cells import CLASSES, read_table, write_table
from wbc.errors import UserError
from wbc.evaluation import predict
from wbc.labelled import Draw, draw
from wbc.pixels import PixelStore, open_store
from wbc.reference import REFERENCE_FILE
from wbc.scoring import set_scores
from wbc.tracking import adapt as tracking_adapt
from wbc.tracking.record import flat_scores

log = logging.getLogger(__name__)

PIXELS_DIR, ADAPTED_DIR = Path("data/pixels"), Path("adapted")
COPIES_PATH = Path("data/split/duplicates.csv")
SURE_CELLS = 20  # fewer in a class, and its recall after adapting is hardly known


def run(options: argparse.Namespace) -> None:
    """Adapt, judge before and after, write adapted/SET-N/ARCH-SEED/, publish."""
    settings, store = params.load(Path("params.yaml")), open_pixels()
    recipe = adapt.RECIPE
    if options.epochs:
        recipe = dataclasses.replace(recipe, epochs=options.epochs)
    job = adapt.Adaptation(options.set, options.per_class, options.seed, recipe)
    with tracking_adapt.model_folder(options.model, Path.cwd()) as parent_dir:
        folder, results = adapt_and_judge(parent_dir, store, job, settings)
    tell(folder, results)


def tell(folder: Path, results: dict[str, Any]) -> None:
    """Publish the finished model and say what has changed in each set."""
    flat = flat_scores({name: scores_only(result) for name, result in results.items()})
    log.info("%s", tracking_adapt.publish(Path.cwd(), folder, flat))
    for name, result in results.items():
        gain = result["difference"]["balanced_accuracy"]
        log.info("%s: balanced accuracy %+.3f (%+.3f to %+.3f)", name, *gain.values())
    log.info("%s says more", folder / "report.html")


def adapt_and_judge(
    parent_dir: Path, store: PixelStore, job: adapt.Adaptation, settings: params.Params
) -> tuple[Path, dict[str, Any]]:
    """The folder of the adapted model and {set: before, after, difference}."""
    chosen = device.pick(settings.train.device, settings.train.precision, settings.train.threads)
    card = read_card(parent_dir)
    check(card, store, job.evaluation_set)
    parent = model.load(parent_dir, chosen.type)
    parent_sha256 = model.model_sha256(parent_dir)
    copies = read_table(COPIES_PATH) if COPIES_PATH.is_file() else None
    drawn = draw(store.part(job.evaluation_set).table, job.per_class, job.seed, copies)
    log.info("adapting %s to %s: %d labelled cells, %d to judge by", card["architecture"],
             job.evaluation_set, len(drawn.labelled), len(drawn.rest))  # fmt: skip
    cells, train = adapt.lesson(store, drawn, card, job), adapt.settings(settings.train, job.recipe)
    with TemporaryDirectory() as scratch:
        outcome = adapt.fine_tune(parent_dir, card, cells, train, job.seed, chosen, Path(scratch))
    new_card = adapt.make_card(card, parent_sha256, job, train, cells, outcome)
    place = ADAPTED_DIR / f"{job.evaluation_set}-{job.per_class}"
    with whole(place / f"{card['architecture']}-{job.seed}") as folder:
        model.save(folder, outcome.network, new_card)
        write_table(pd.DataFrame(outcome.history), folder / "history.csv")
        adapted, size = model.load(folder, chosen.type), settings.evaluate.batch_size
        parts = judged_parts(store, card, job, drawn)
        usual = reference_cells.make(adapted, cells.part("train"), parts[job.evaluation_set], size)
        reference.write(folder / REFERENCE_FILE, usual, model.model_sha256(folder))
        results = {name: judge(parent, adapted, part, size) for name, part in parts.items()}
        write(folder, new_card, results, drawn, notes(card, store, job, drawn))
    return place / folder.name, results


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to write in that becomes `folder` at the end, in one step, or never.

    A run that was killed before leaves nothing that looks like a model; the former one stays
    until then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as scratch:
        new = Path(scratch) / folder.name
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(Path(scratch) / "former")
        new.rename(folder)


def judged_parts(
    store: PixelStore, card: model.Card, job: adapt.Adaptation, drawn: Draw
) -> dict[str, PixelStore]:
    """The laboratory's remaining cells, and the test of the laboratory that the model is from."""
    new = store.part(job.evaluation_set)
    parts = {job.evaluation_set: dataclasses.replace(new, table=new.table.iloc[drawn.rest])}
    own = own_test(card, store)
    if own in own_sets(card, store):
        parts[own] = store.part(own)
    return parts


def judge(
    before: model.Classifier, after: model.Classifier, part: PixelStore, batch_size: int
) -> dict[str, Any]:
    """Scores of both models on the same cells, their confusions, and the difference."""
    result: dict[str, Any] = {}
    tables = []
    for when, classifier in (("before", before), ("after", after)):
        judged = evaluation.judge(classifier, predict(classifier, part, batch_size), part)
        result[when] = set_scores(judged, part.table)
        result[f"confusion_{when}"] = _named(judged.counts)
        tables.append(metrics.predictions_table(part.table, judged.decisions, judged.calibrated))
    return result | {"difference": adapt_report.difference(*tables)}


def write(
    folder: Path, card: model.Card, results: dict[str, Any], drawn: Draw, remarks: list[str]
) -> None:
    text = metrics.metrics_json({"adapted": card["adapted"], "sets": results})
    (folder / "before_after.json").write_text(text, encoding="utf-8")
    write_table(adapt_report.table(results).round(6), folder / "before_after.csv")
    said = (card, results, drawn.shortages, remarks)
    (folder / "report.md").write_text(adapt_report.markdown(*said), encoding="utf-8")
    (folder / "report.html").write_text(adapt_report.html(*said), encoding="utf-8")


def notes(card: model.Card, store: PixelStore, job: adapt.Adaptation, drawn: Draw) -> list[str]:
    """What a reader of the report must not overlook."""
    rest = store.part(job.evaluation_set).table["label"].iloc[drawn.rest].value_counts()
    few = [f"{name} {rest[name]}" for name in CLASSES if 0 < rest.get(name, 0) < SURE_CELLS]
    remarks = []
    if few:
        remarks.append(f"Few cells are left to judge some classes by: {', '.join(few)}.")
    if drawn.num_unused:
        remarks.append(
            f"{drawn.num_unused} cells are unused: they share a smear with labelled ones, or are"
            " copies of cells that do."
        )
    if not COPIES_PATH.is_file():
        remarks.append(
            f"{COPIES_PATH} is not there, so near copies of labelled cells may be among those that"
            " judge; `dvc checkout` brings it."
        )
    if card["inputs"]["pixels"] != store.settings["sha256"]:
        remarks.append(
            "The model was trained on other cells than data/pixels holds now, so it may have"
            " learned some of those that its own laboratory's test shows here."
        )
    return remarks


def scores_only(result: dict[str, Any]) -> dict[str, Any]:
    """What MLflow gets of a set's result: numbers, without the confusions."""
    return {name: result[name] for name in ("before", "after", "difference")}


def _named(counts: np.ndarray[Any, Any]) -> dict[str, dict[str, int]]:
    """{true class: {decision: cells}}, true classes that are there only."""
    return {
        true: dict(zip(CLASSES, map(int, row), strict=True))
        for true, row in zip(CLASSES, counts, strict=True)
        if row.sum()
    }


def open_pixels() -> PixelStore:
    if not (PIXELS_DIR / "store.json").is_file():
        raise UserError(f"{PIXELS_DIR} was expected but is not there; run `dvc repro` first.")
    return open_store(PIXELS_DIR)
