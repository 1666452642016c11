"""What evaluate examines beyond scores: counts, shortcuts, where the network looks, shift."""

from pathlib import Path

import pandas as pd

from wbc import counts, explain, figures_counts, figures_shift, figures_why, shift_report, shortcuts
from wbc.cells import write_table
from wbc.evaluation import Evaluation
from wbc.figures import save
from wbc.metrics import NUM_DECIMALS
from wbc.model import Card, Classifier
from wbc.pixels import PixelStore
from wbc.reference import Reference


def count(
    evaluation: Evaluation, card: Card, store: PixelStore, words: str, report_dir: Path
) -> None:
    """The differential of every set, counted and adjusted, against the truth."""
    predictions = evaluation.predictions
    if card["parameters"].get("train.imbalance") == "loss_weights":
        predictions = counts.in_training_mix(predictions, store.part("train").labels)
    table = counts.counts_table(predictions)
    write_table(table, report_dir / "counts.csv")
    for name, rows in table.groupby("set", sort=False):
        figure = figures_counts.differential(rows.reset_index(drop=True), str(name), words)
        save(figure, report_dir / "figures" / f"counts_{name}.png")


def check_shortcuts(
    classifier: Classifier,
    evaluation: Evaluation,
    store: PixelStore,
    words: str,
    report_dir: Path,
) -> None:
    """Whether the background alone gives the cell type away, on one set of the own laboratory."""
    name = shortcuts.set_to_check(list(evaluation.metrics))
    found = shortcuts.check(classifier, store.part(name), evaluation.of_set(name))
    write_table(shortcuts.report_table([found]), report_dir / "shortcuts.csv")
    save(figures_why.shortcuts(found, words), report_dir / "figures" / "shortcuts.png")


def show_where_it_looks(
    classifier: Classifier,
    evaluation: Evaluation,
    store: PixelStore,
    words: str,
    report_dir: Path,
) -> None:
    """Grad-CAM of the surest right, the surest wrong and the closest decisions of each type."""
    if not explain.has_gradcam(classifier):
        return
    explained = explain.explain(classifier, store, evaluation.predictions)
    for kind in explain.KINDS:
        figure = figures_why.gradcam(explained, kind, words)
        save(figure, report_dir / "figures" / f"gradcam_{kind}.png")


def measure_shift(
    card: Card,
    reference: Reference | None,
    evaluation: Evaluation,
    store: PixelStore,
    words: str,
    report_dir: Path,
) -> None:
    """How far every set lies from the training cells, and what is lost there; empty tables where
    there are too few cells to say."""
    if reference is None:
        for name in ("shift.csv", "shift_statistics.csv"):
            write_table(pd.DataFrame(columns=["set", "in_words"]), report_dir / name)
        return
    external = [s["name"] for s in card["sources"] if s["role"] == "external"]
    study = shift_report.study(store, reference, evaluation, external)
    in_words = [study.banners.get(name, "") for name in study.table["set"]]
    write_table(study.table.round(NUM_DECIMALS).assign(in_words=in_words), report_dir / "shift.csv")
    write_table(study.statistics.round(NUM_DECIMALS), report_dir / "shift_statistics.csv")
    shares = dict(zip(study.table["set"], study.table["share_far"], strict=True))
    figure = figures_shift.distance_distributions(study.distances, reference.limit, shares, words)
    save(figure, report_dir / "figures" / "shift.png")
    figure = figures_shift.picture_differences(study.statistics, list(evaluation.metrics))
    save(figure, report_dir / "figures" / "shift_pictures.png")
