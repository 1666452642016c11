"""One model on every evaluation set of a pixel store, each by itself."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from wbc import calibration, curves
from wbc.intervals import Judged
from wbc.metrics import predictions_table
from wbc.model import Classifier, Outputs
from wbc.pixels import PixelStore
from wbc.scoring import set_scores


@dataclass(frozen=True)
class Evaluation:
    """All by evaluation set, in the store's order.

    `metrics` is what metrics.json holds, `predictions` one row a cell of all sets, `outputs` the
    logits and features of every cell, `judged` what was said of it. The predictions' column sha256
    names each cell, and so each set (`pixels.evaluation_set_sha256`), also in the registry.
    """

    metrics: dict[str, dict[str, Any]]
    predictions: pd.DataFrame
    outputs: dict[str, Outputs]
    judged: dict[str, Judged]

    def of_set(self, name: str) -> pd.DataFrame:
        """The rows of predictions.csv of one set, in the order of its cells."""
        return self.predictions[self.predictions["set"] == name].reset_index(drop=True)


def evaluate(classifier: Classifier, store: PixelStore, batch_size: int) -> Evaluation:
    """Score val, the tests and every external source; nothing is chosen here."""
    metrics, tables, outputs, judged = {}, [], {}, {}
    for name in store.evaluation_sets():
        part = store.part(name)
        outputs[name] = predict(classifier, part, batch_size)
        judged[name] = judge(classifier, outputs[name], part)
        metrics[name] = set_scores(judged[name], part.table)
        rows = predictions_table(part.table, judged[name].decisions, judged[name].calibrated)
        tables.append(rows.assign(sha256=part.table["sha256"].to_numpy()))
    return Evaluation(metrics, pd.concat(tables, ignore_index=True), outputs, judged)


def predict(classifier: Classifier, part: PixelStore, batch_size: int) -> Outputs:
    """Logits (N, 5) and features (N, D) of every cell of a part, in its order."""
    return classifier.all_outputs(part.batches(batch_size))


def judge(classifier: Classifier, outputs: Outputs, part: PixelStore) -> Judged:
    """Decisions and both kinds of probabilities; the temperature has no say in the decisions."""
    plain = classifier.probabilities_of(outputs.logits, calibrated=False)
    return Judged(
        labels=part.labels,
        decisions=classifier.decide(plain),
        uncalibrated=plain,
        calibrated=classifier.probabilities_of(outputs.logits),
    )


def curve_tables(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """{roc, pr, risk_coverage, reliability}: points of the curves of all sets, column `set` first.

    The reliability table has each bin twice: before and after the temperature (`calibrated`).
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for name, judged in evaluation.judged.items():
        confidence = calibration.confidences(judged.calibrated, judged.decisions)
        before = calibration.confidences(judged.uncalibrated, judged.decisions)
        bins = [
            calibration.reliability(each, judged.right).assign(calibrated=after)
            for each, after in ((before, False), (confidence, True))
        ]
        made = {
            "roc": curves.roc_table(judged.labels, judged.calibrated),
            "pr": curves.pr_table(judged.labels, judged.calibrated),
            "risk_coverage": curves.risk_table(confidence, judged.right),
            "reliability": pd.concat(bins, ignore_index=True),
        }
        for kind, table in made.items():
            table.insert(0, "set", name)
            tables.setdefault(kind, []).append(table)
    return {kind: pd.concat(parts, ignore_index=True) for kind, parts in tables.items()}
