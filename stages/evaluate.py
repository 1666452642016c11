"""evaluate@ARCH: one model on every evaluation set by itself; scores, every decision, figures.

Models of other seeds (`train.seeds`) get their scores only: reports/ARCH/seeds/SEED.
"""

from pathlib import Path

from stages import _figures, _trust
from stages._run import named_architecture, run
from wbc import device, metrics, model, params, reference, report, seeds
from wbc.cells import write_table
from wbc.evaluation import Evaluation, evaluate
from wbc.pixels import PixelStore, open_store
from wbc.reference import REFERENCE_FILE, Reference
from wbc.tracking import runs as tracking

AllScores = dict[str, metrics.Scores]  # of all sets, as in metrics.json


def main() -> None:
    settings = params.load(Path("params.yaml"))
    architecture = named_architecture(settings.architectures)
    model_dir, report_dir = Path("models") / architecture, Path("reports") / architecture
    chosen = device.pick(settings.train.device, settings.train.precision, settings.train.threads)
    num_processes = settings.train.threads or device.num_cores()
    classifier = model.load(model_dir, chosen.type, num_processes)
    store = open_store(Path("data/pixels"))
    evaluation = evaluate(classifier, store, settings.evaluate.batch_size)
    write_tables(evaluation, report_dir)
    size = settings.evaluate.batch_size
    others = evaluate_seeds(model_dir, chosen.type, store, size, report_dir)
    write_seeds({seed_of(classifier.card): evaluation.metrics, **others}, report_dir)
    draw(evaluation, store, classifier.card, model_dir, report_dir)
    examine(classifier, reference.read(model_dir / REFERENCE_FILE), evaluation, store, report_dir)
    material = report.read(model_dir, report_dir, Path("data/split/summary.json"))
    report.write(material, report_dir)
    tracking.publish(architecture, model_dir, report_dir)
    for seed in others:
        own = Path(seeds.OTHERS) / str(seed)
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
    folders = seeds.read_others(model_dir)
    reports = seeds.write_others(report_dir, list(folders))
    for seed, folder in folders.items():
        found[seed] = evaluate(model.load(folder, device_type), store, batch_size).metrics
        write_json(found[seed], reports / str(seed) / "metrics.json")
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


def draw(
    evaluation: Evaluation, store: PixelStore, card: model.Card, model_dir: Path, report_dir: Path
) -> None:
    """Figures of decisions, curves and training."""
    words = title(card)
    _figures.draw_sets(evaluation, store, words, report_dir / "figures")
    _figures.draw_curves(evaluation, words, report_dir)
    _figures.draw_training(card, model_dir / "history.csv", words, report_dir / "figures")


def examine(
    classifier: model.Classifier,
    usual: Reference | None,
    evaluation: Evaluation,
    store: PixelStore,
    report_dir: Path,
) -> None:
    """What scores do not say: counts, shortcuts, where the network looks, other laboratories."""
    words = title(classifier.card)
    _trust.count(evaluation, classifier.card, store, words, report_dir)
    _trust.check_shortcuts(classifier, evaluation, store, words, report_dir)
    _trust.show_where_it_looks(classifier, evaluation, store, words, report_dir)
    _trust.measure_shift(classifier.card, usual, evaluation, store, words, report_dir)


def title(card: model.Card) -> str:
    """How figures name the model; one that learned from drawn cells says so."""
    return f"{card['architecture']}{' (drawn cells)' if card['drawn'] else ''}"


if __name__ == "__main__":
    run(main)
