"""compare: all networks in one table, ranked on validation among equal starts."""

import json
import logging
from pathlib import Path

import pandas as pd

from stages._run import run
from wbc import comparison, metrics, model, params, registry
from wbc.cells import read_table, write_table
from wbc.pixels import evaluation_set_sha256

log = logging.getLogger(__name__)

OUT_DIR = Path("comparison")


def main() -> None:
    names = params.load(Path("params.yaml")).architectures
    table = comparison.compare([read(name) for name in names])
    write_table(table, OUT_DIR / "compare.csv")
    (OUT_DIR / "compare.md").write_text(comparison.report(table), encoding="utf-8")
    log.info("%s", comparison.report(table))
    propose(table)


def read(architecture: str) -> tuple[model.Card, dict[str, metrics.Scores], int]:
    """Card, scores and number of parameters of a model."""
    folder = Path("models") / architecture
    card = json.loads((folder / model.CARD_FILE).read_text(encoding="utf-8"))
    report = Path("reports") / architecture / "metrics.json"
    scores = json.loads(report.read_text(encoding="utf-8"))
    return card, scores, model.num_parameters(folder)


def propose(table: pd.DataFrame) -> None:
    """The best of each start may become challenger, by its validation score alone."""
    cells = read_table(Path("data/pixels/index.csv"))
    digest = evaluation_set_sha256(cells[cells["split"] == "val"])
    for architecture in comparison.winners(table).values():
        row = table[table["architecture"] == architecture].iloc[0]
        identity = model.model_sha256(Path("models") / architecture)
        score = float(row["val/macro_f1"])
        log.info("%s", registry.propose_challenger(identity, "val/macro_f1", score, digest))


if __name__ == "__main__":
    run(main)
