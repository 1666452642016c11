"""evaluate@ARCH: one model on every evaluation set by itself; scores, every decision, figures."""

import os
import sys
from pathlib import Path

from stages._run import run
from wbc import device, figures, figures_tuning, metrics, model, params, tracking
from wbc.cells import CLASSES, CLASSICAL, read_table, write_table
from wbc.evaluation import Evaluation, evaluate
from wbc.pixels import PixelStore, open_store


def main() -> None:
    architecture = sys.argv[1]
    settings = params.load(Path("params.yaml"))
    model_dir, report_dir = Path("models") / architecture, Path("reports") / architecture
    chosen = device.pick(settings.train.device, settings.train.precision, settings.train.threads)
    num_processes = settings.train.threads or os.cpu_count() or 1
    classifier = model.load(model_dir, chosen.type, num_processes)
    store = open_store(Path("data/pixels"))
    evaluation = evaluate(classifier, store, settings.evaluate.batch_size)
    write_tables(evaluation, report_dir)
    draw_sets(evaluation, store, title(classifier.card), report_dir / "figures")
    draw_training(classifier.card, model_dir / "history.csv", report_dir / "figures")
    tracking.publish(architecture, model_dir, report_dir)


def write_tables(evaluation: Evaluation, report_dir: Path) -> None:
    write_table(evaluation.predictions, report_dir / "predictions.csv")
    text = metrics.metrics_json(evaluation.metrics)
    (report_dir / "metrics.json").write_text(text, encoding="utf-8")
    for name in evaluation.metrics:
        pairs = metrics.confusion_table(evaluation.predictions, name)
        write_table(pairs, report_dir / "confusion" / f"{name}.csv")


def draw_sets(evaluation: Evaluation, store: PixelStore, words: str, folder: Path) -> None:
    """A confusion matrix and a sheet of mistakes for each set, and the recalls of all."""
    figures.save(figures.recall_bars(evaluation.metrics, words), folder / "recall.png")
    for name in evaluation.metrics:
        rows = evaluation.predictions[evaluation.predictions["set"] == name]
        rows = rows.reset_index(drop=True)
        truth = metrics.class_indices(list(rows["label"]))
        decided = metrics.class_indices(list(rows["predicted"]))
        counts = metrics.confusion(truth, decided, len(CLASSES))
        figure = figures.confusion_matrix(counts, name, words)
        figures.save(figure, folder / f"confusion_{name}.png")
        shown = metrics.choose_mistakes(rows)
        pixels = store.part(name).read(shown)
        num_wrong = int((truth != decided).sum())
        figure = figures.mistakes(pixels, rows.iloc[shown], num_wrong, name, words)
        figures.save(figure, folder / f"mistakes_{name}.png")


def draw_training(card: model.Card, history_path: Path, folder: Path) -> None:
    history, best = read_table(history_path), int(card["best"]["epoch"])
    draw = figures_tuning.tuning if card["architecture"] == CLASSICAL else figures.training_history
    figure = draw(history, best, title(card))
    figures.save(figure, folder / "history.png")


def title(card: model.Card) -> str:
    """How figures name the model; one that learned from drawn cells says so."""
    return f"{card['architecture']}{' (drawn cells)' if card['drawn'] else ''}"


if __name__ == "__main__":
    run(main)
