"""The temperature of a model: one number, fitted on validation, that makes probabilities honest.

After Guo et al. 2017, "On calibration of modern neural networks" (arXiv 1706.04599), section 4.2.
How it is applied stands in `wbc.model.probabilities_of`.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from wbc.metrics import NUM_DECIMALS

BOUNDS: Final = (0.05, 20.0)  # of the temperature; never reached in earnest


def fit_temperature(
    logits: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    log_prior: NDArray[np.floating[Any]],
) -> float:
    """The temperature T of the validation cells, in BOUNDS, to 6 decimals.

    Minimises the negative log-likelihood of softmax((logits - log_prior) / T + log_prior), where
    each label counts as right with N + 1 of N + 2 and as each other class with an equal part of
    the rest (Platt 1999, "Probabilistic outputs for support vector machines", section 2.2). That
    is one made-up mistake among all cells: where a validation set has none of its own, the plain
    likelihood takes T to 0 and every probability to 1, and N cells cannot have shown that.

    Args:
        logits: (N, K), with the training prior in them, as `Classifier.outputs` gives them.
        log_prior: (K,) the card's.
    """
    prior = np.asarray(log_prior, dtype=np.float64)
    spoken = np.asarray(logits, dtype=np.float64) - prior
    num_cells, num_classes = spoken.shape
    targets = np.full(spoken.shape, 1 / (num_cells + 2) / (num_classes - 1))
    targets[np.arange(num_cells), labels] = (num_cells + 1) / (num_cells + 2)

    def cost(log_temperature: float) -> float:
        scaled = spoken / np.exp(log_temperature) + prior
        return float((logsumexp(scaled, axis=1) - (targets * scaled).sum(axis=1)).mean())

    found = minimize_scalar(cost, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-7})
    return round(float(np.exp(found.x)), NUM_DECIMALS)
