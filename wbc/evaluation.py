"""One model on every evaluation set of a pixel store, each by itself."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from wbc.metrics import predictions_table, scores
from wbc.model import Classifier, Outputs
from wbc.pixels import PixelStore


@dataclass(frozen=True)
class Evaluation:
    """`metrics`: {set: scores}; `predictions`: one row a cell of all sets, in the sets' order."""

    metrics: dict[str, dict[str, Any]]
    predictions: pd.DataFrame


def evaluate(classifier: Classifier, store: PixelStore, batch_size: int) -> Evaluation:
    """Score val, the tests and every external source; nothing is chosen here."""
    metrics, tables = {}, []
    for name in store.evaluation_sets():
        part = store.part(name)
        logits = predict(classifier, part, batch_size).logits
        decisions = classifier.decide(classifier.probabilities_of(logits, calibrated=False))
        probabilities = classifier.probabilities_of(logits)
        metrics[name] = scores(part.labels, decisions, probabilities)
        tables.append(predictions_table(part.table, decisions, probabilities))
    return Evaluation(metrics, pd.concat(tables, ignore_index=True))


def predict(classifier: Classifier, part: PixelStore, batch_size: int) -> Outputs:
    """Logits (N, 5) and features (N, D) of every cell of a part, in its order."""
    return classifier.all_outputs(part.batches(batch_size))
