"""Whether probabilities mean what they say: expected calibration error, Brier score, reliability.

Confidence is the probability of the class that was decided on, which with logit adjustment need
not be the likeliest: it is what a reader sees beside the decision. `right` (N,) says which
decisions are right.
"""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NUM_BINS: Final = 15  # of equal width on (0, 1], as in Guo et al. 2017 (arXiv 1706.04599)

Floats = NDArray[np.float64]


def confidences(
    probabilities: NDArray[np.floating[Any]], decisions: NDArray[np.integer[Any]]
) -> Floats:
    """(N,) the probability of each decision, from probabilities (N, K)."""
    rows = np.arange(len(decisions))
    return np.asarray(probabilities[rows, decisions], dtype=np.float64)


def bin_of(confidence: Floats) -> NDArray[np.int64]:
    """(N,) which bin, 0 to NUM_BINS - 1, each confidence falls in; upper edges belong to it."""
    bins = np.ceil(confidence * NUM_BINS).astype(np.int64) - 1
    return np.clip(bins, 0, NUM_BINS - 1)


def gaps(confidence: Floats, right: NDArray[np.bool_]) -> Floats:
    """(N, NUM_BINS): confidence minus right (0 or 1) in the cell's own bin, 0 in the others.

    `ece` of any weighting of the cells follows from the weighted sums of these columns.
    """
    table = np.zeros((len(confidence), NUM_BINS))
    table[np.arange(len(confidence)), bin_of(confidence)] = confidence - right
    return table


def ece(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Expected calibration error, 0 to 1: mean over cells of |mean confidence - accuracy| of the
    cell's bin."""
    return float(np.abs(gaps(confidence, right).sum(axis=0)).sum() / len(confidence))


def squared_errors(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> Floats:
    """(N,) each cell's share in the Brier score: sum over all classes of (p - truth)^2, 0 to 2."""
    wrong = np.array(probabilities, dtype=np.float64)
    wrong[np.arange(len(labels)), labels] -= 1
    return np.asarray((wrong**2).sum(axis=1))


def brier(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """Brier score in its first form (Brier 1950), summed over classes: 0 to 2, less is better.

    For two classes it is twice what scikit-learn's binary brier_score_loss gives.
    """
    return float(squared_errors(probabilities, labels).mean())


def reliability(confidence: Floats, right: NDArray[np.bool_]) -> pd.DataFrame:
    """One row a bin: low, high (its edges), num_cells, confidence, accuracy (means; 0 if empty)."""
    bins = bin_of(confidence)
    num_cells = np.bincount(bins, minlength=NUM_BINS)
    count = np.maximum(num_cells, 1)
    edges = np.arange(NUM_BINS + 1) / NUM_BINS
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "num_cells": num_cells,
            "confidence": np.bincount(bins, confidence, NUM_BINS) / count,
            "accuracy": np.bincount(bins, right.astype(np.float64), NUM_BINS) / count,
        }
    )
