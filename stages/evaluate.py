"""evaluate@ARCH: one model on every evaluation set by itself; scores, every decision, figures.

Models of other seeds (`train.seeds`) get their scores only: reports/ARCH/seeds/SEED.
"""

import sys
from pathlib import Path

from stages._run import run
from wbc import device, figures, figures_scores, metrics, model, params, seeds, tracking
from wbc.cells import CLASSES, read_table, write_table
from wbc.evaluation import Evaluation, curve_tables, evaluate
from wbc.pixels import PixelStore, open_store

AllScores = dict[str, metrics.Scores]  # of all sets, as in metrics.json


def main() -> None:
    architecture = sys.argv[1]
    settings = params.load(Path("params.yaml"))
    model_dir, report_dir = Path("models") / architecture, Path("reports") / architecture
    chosen = device.pick(settings.train.device, settings.train.precision, settings.train.threads)
    classifier = model.load(model_dir, chosen.type)
    store = open_store(Path("data/pixels"))
    evaluation = evaluate(classifier, store, settings.evaluate.batch_size)
    write_tables(evaluation, report_dir)
    draw_sets(evaluation, store, title(classifier.card), report_dir / "figures")
    draw_curves(evaluation, title(classifier.card), report_dir)
    draw_training(classifier.card, model_dir / "history.csv", report_dir / "figures")
    size = settings.evaluate.batch_size
    others = evaluate_seeds(model_dir, chosen.type, store, size, report_dir)
    write_seeds({seed_of(classifier.card): evaluation.metrics, **others}, report_dir)
    tracking.publish(architecture, model_dir, report_dir)
    for seed in others:
        own = Path("seeds") / str(seed)
        tracking.publish(architecture, model_dir / own, report_dir / own, registered=False)


def write_tables(evaluation: Evaluation, report_dir: Path) -> None:
    write_table(evaluation.predictions, report_dir / "predictions.csv")
    write_json(evaluation.metrics, report_dir / "metrics.json")
    for name in evaluation.metrics:
        pairs = metrics.confusion_table(evaluation.predictions, name)
        write_table(pairs, report_dir / "confusion" / f"{name}.csv")


def evaluate_seeds(
    model_dir: Path, device_type: str, store: PixelStore, batch_size: int, report_dir: Path
) -> dict[int, AllScores]:
    """{seed: scores} of the models of other seeds, in rising order; written to a folder each."""
    found = {}
    (report_dir / "seeds").mkdir(parents=True, exist_ok=True)
    for seed in sorted(int(folder.name) for folder in (model_dir / "seeds").iterdir()):
        classifier = model.load(model_dir / "seeds" / str(seed), device_type)
        found[seed] = evaluate(classifier, store, batch_size).metrics
        write_json(found[seed], report_dir / "seeds" / str(seed) / "metrics.json")
    return found


def write_seeds(scores: dict[int, AllScores], report_dir: Path) -> None:
    """Every seed's scores as a table, and their mean and spread."""
    table = seeds.seed_table(scores)
    write_table(table, report_dir / "seeds.csv")
    write_json(seeds.seed_summary(table), report_dir / "seeds.json")


def seed_of(card: model.Card) -> int:
    return int(card["parameters"]["seed"])


def write_json(content: AllScores, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(metrics.metrics_json(content), encoding="utf-8")


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


def draw_training(card: model.Card, history_path: Path, folder: Path) -> None:
    history = read_table(history_path)
    figure = figures.training_history(history, int(card["best"]["epoch"]), title(card))
    figures.save(figure, folder / "history.png")


def title(card: model.Card) -> str:
    """How figures name the model; one that learned from drawn cells says so."""
    return f"{card['architecture']}{' (drawn cells)' if card['drawn'] else ''}"


if __name__ == "__main__":
    run(main)
