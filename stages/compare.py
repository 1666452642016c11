"""compare: all models in one table, ranked on validation among equal starts, and paired tests."""

import logging
import os
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from stages._run import run
from wbc import (
    comparison_page,
    comparison_text,
    cost,
    device,
    figures,
    figures_compare,
    model,
    params,
)
from wbc.cells import write_table
from wbc.comparison import Model, compare, read, sets_of
from wbc.comparison_tests import paired_table, rounded
from wbc.pixels import PixelStore, evaluation_set_sha256, open_store
from wbc.registry.challenger import propose_winners
from wbc.tracking import runs as tracking
from wbc.written import read_predictions

log = logging.getLogger(__name__)

OUT_DIR = Path("comparison")
COSTS_FILE = "costs.csv"  # in mlruns/, which neither git nor DVC follows: times differ every run


def main() -> None:
    settings = params.load(Path("params.yaml"))
    names: list[str] = list(settings.architectures)
    models = [read(Path(), name) for name in names]
    table = compare(models)
    predictions = {
        model.name: read_predictions(Path("reports") / model.name, model.metrics)
        for model in models
    }
    tests = paired_table(table, predictions, {model.name: model.metrics for model in models})
    write(table, tests, models)
    log.info("%s", comparison_text.report(table, tests))
    val = open_store(Path("data/pixels")).part("val")
    propose(table, val)
    speeds = measure(names, val, settings.train.threads)
    tracking.publish_comparison({Path("models") / name: speeds[name] for name in names})


def write(table: pd.DataFrame, tests: pd.DataFrame, models: list[Model]) -> None:
    """The table as CSV, Markdown and HTML, the tests, and a figure for each set."""
    write_table(table, OUT_DIR / "compare.csv")
    write_table(rounded(tests), OUT_DIR / "paired.csv")
    report = comparison_text.report(table, tests)
    (OUT_DIR / "compare.md").write_text(report, encoding="utf-8")
    for name in sets_of(table):
        figures.save(figures_compare.scores(table, name), OUT_DIR / f"{name}.png")
    drawn = any(model.card["drawn"] for model in models)
    notes = {model.name: str(model.card["start_note"]) for model in models}
    comparison_page.write(table, tests, OUT_DIR, drawn, notes)


def propose(table: pd.DataFrame, val: PixelStore) -> None:
    """The best of each start may become challenger, by its validation score alone."""
    for sentence in propose_winners(table, Path("models"), evaluation_set_sha256(val.table)):
        log.info("%s", sentence)


def measure(names: list[str], val: PixelStore, threads: int) -> dict[str, dict[str, float]]:
    """{architecture: times on this CPU}, also as a table in the log and in mlruns/."""
    chosen = device.pick("cpu", 32, threads)
    squares = val.read([row % len(val) for row in range(cost.BATCH)])
    speeds = {
        name: asdict(cost.speed_of(model.load(Path("models") / name), squares)) for name in names
    }
    rows = [{"architecture": name, **speed} for name, speed in speeds.items()]
    shown = pd.DataFrame(rows).round(2)
    folder = Path(os.environ.get("DVC_ROOT", ".")) / "mlruns"
    write_table(shown, folder / COSTS_FILE)
    log.info("Times of a model from square to answer on this %s (median of %d):\n%s",
             chosen.name, cost.REPEATS, shown.to_string(index=False))  # fmt: skip
    return speeds


if __name__ == "__main__":
    run(main)
