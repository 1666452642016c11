"""What evaluate draws of decisions, curves and training."""

from pathlib import Path

from wbc import figures, figures_cells, figures_scores, figures_tuning, metrics
from wbc.cells import CLASSES, CLASSICAL, read_table, write_table
from wbc.errors import not_as_written
from wbc.evaluation import Evaluation, curve_tables
from wbc.model import Card
from wbc.pixels import PixelStore


def draw_sets(evaluation: Evaluation, store: PixelStore, words: str, folder: Path) -> None:
    """A confusion matrix and a sheet of mistakes for each set, and the recalls of all."""
    figures.save(figures.recall_bars(evaluation.metrics, words), folder / "recall.png")
    for name in evaluation.metrics:
        rows = evaluation.of_set(name)
        truth = metrics.class_indices(list(rows["label"]))
        decided = metrics.class_indices(list(rows["predicted"]))
        counts = metrics.confusion(truth, decided, len(CLASSES))
        figure = figures.confusion_matrix(counts, name, words)
        figures.save(figure, folder / f"confusion_{name}.png")
        shown = metrics.choose_mistakes(rows)
        pixels = store.part(name).read(shown)
        num_wrong = int((truth != decided).sum())
        figure = figures_cells.mistakes(pixels, rows.iloc[shown], num_wrong, name, words)
        figures.save(figure, folder / f"mistakes_{name}.png")


def draw_curves(evaluation: Evaluation, words: str, report_dir: Path) -> None:
    """The points of all curves as tables, and their figures."""
    tables, folder = curve_tables(evaluation), report_dir / "figures"
    for kind, table in tables.items():
        write_table(table.round(metrics.NUM_DECIMALS), report_dir / "curves" / f"{kind}.csv")
    figure = figures_scores.risk_coverage(tables["risk_coverage"], evaluation.metrics, words)
    figures.save(figure, folder / "risk_coverage.png")
    for name, scores in evaluation.metrics.items():
        figure = figures_scores.roc_and_pr(tables, scores, name, words)
        figures.save(figure, folder / f"roc_pr_{name}.png")
        figure = figures_scores.reliability(tables["reliability"], scores, name, words)
        figures.save(figure, folder / f"reliability_{name}.png")


def draw_training(card: Card, history_path: Path, words: str, folder: Path) -> None:
    """The epochs of a network, or what tuning the classical baseline tried."""
    draw = figures_tuning.tuning if card["architecture"] == CLASSICAL else figures.training_history
    history, best = read_table(history_path, ("epoch",)), int(card["best"]["epoch"])
    if best not in set(history["epoch"]):
        raise not_as_written(history_path, f"has no epoch {best}, which the model is of")
    figure = draw(history, best, words)
    figures.save(figure, folder / "history.png")
