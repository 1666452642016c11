"""One model on every evaluation set of a pixel store, each by itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wbc.metrics import predictions_table, scores
from wbc.model import Classifier
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
        probabilities = predict(classifier, part, batch_size)
        decisions = classifier.decide(probabilities)
        metrics[name] = scores(part.labels, decisions, probabilities)
        tables.append(predictions_table(part.table, decisions, probabilities))
    return Evaluation(metrics, pd.concat(tables, ignore_index=True))


def predict(classifier: Classifier, part: PixelStore, batch_size: int) -> NDArray[np.float32]:
    """Probabilities (N, 5) of every cell of a part, in its order."""
    return np.concatenate([classifier.probabilities(x) for x in part.batches(batch_size)])
