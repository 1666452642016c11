"""Fit the classical baseline: regularisation chosen by grouped cross-validation within training."""

import logging
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from wbc.cells import CLASSES
from wbc.classical import Parameters
from wbc.errors import UserError

log = logging.getLogger(__name__)

STRENGTHS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # C: inverse of the penalty
NUM_FOLDS: Final = 5
MAX_STEPS: Final = 5000  # of L-BFGS
ABSENT: Final = -30.0  # logit of a class that training lacks

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Cells:
    """Features (N, F) of cells, their class indices (N,) and their smears' names (N,)."""

    features: Floats
    labels: Labels
    groups: NDArray[np.str_]


@dataclass(frozen=True)
class Fitted:
    """The classifier of the chosen strength; the table of all strengths and the chosen row."""

    parameters: Parameters
    history: list[Row]
    best: Row


def fit(train: Cells, val: Cells, log_prior: Floats, weighted: bool, seed: int) -> Fitted:
    """Choose the strength by macro-F1 in cross-validation over smears of `train`, and fit with it.

    The smallest C within one standard error of the best is taken (Breiman et al. 1984, section
    3.4.3: the one-standard-error rule): the simplest classifier that is as good as can be told.
    `val` is measured for each strength beside it, for comparison with the networks' curves, and
    chooses nothing.

    Args:
        log_prior: (K,) what decisions subtract: of even classes, or 0.
        weighted: fit as if classes were equally frequent.

    Raises:
        UserError: all cells of `train` are of one class.
    """
    if len(np.unique(train.labels)) < 2:
        raise UserError(
            "The training part holds cells of one class only, and a classifier needs two; add"
            " cells to data.sources, or lower split.val_share and split.test_share."
        )
    rows = []
    for position, strength in enumerate(STRENGTHS, start=1):
        row = {"epoch": position, "phase": "tuning", "C": strength}
        scores = _cross_validated(train, strength, log_prior, weighted, seed)
        row["cv/macro_f1"] = float(scores.mean())
        row["cv/standard_error"] = float(scores.std(ddof=1) / np.sqrt(len(scores)))
        whole = fit_one(train.features, train.labels, strength, weighted)
        row |= _row(whole, train, val, log_prior)
        log.info("C %g: macro-F1 %.4f in cross-validation", strength, row["cv/macro_f1"])
        rows.append({name: _rounded(value) for name, value in row.items()})
    best = choose(rows)
    return Fitted(fit_one(train.features, train.labels, best["C"], weighted), rows, best)


def choose(rows: list[Row]) -> Row:
    """The row of the smallest C whose score is within a standard error of the highest."""
    highest = max(rows, key=lambda row: float(row["cv/macro_f1"]))
    least = highest["cv/macro_f1"] - highest["cv/standard_error"]
    return next(row for row in rows if row["cv/macro_f1"] >= least)


def fit_one(features: Floats, labels: Labels, strength: float, weighted: bool) -> Parameters:
    """Scaler and logistic regression of cells, as arrays for all classes, seen or not."""
    scaler = StandardScaler().fit(features)
    parameters = Parameters(
        scaler.mean_, scaler.scale_, np.zeros((5, features.shape[1])), np.full(5, ABSENT)
    )
    if len(np.unique(labels)) == 1:  # of a fold; nothing to learn
        parameters.intercepts[labels[0]] = 0.0
        return parameters
    model = logistic_regression(strength, weighted)
    model.fit(parameters.standardised(features), labels)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    parameters.coefficients[model.classes_] = coefficients
    parameters.intercepts[model.classes_] = intercepts
    return parameters


def logistic_regression(strength: float, weighted: bool) -> LogisticRegression:
    """Multinomial, with a squared penalty; L-BFGS draws no random numbers."""
    weights = "balanced" if weighted else None
    return LogisticRegression(C=strength, class_weight=weights, max_iter=MAX_STEPS)


def folds(cells: Cells, seed: int) -> list[tuple[Labels, Labels]]:
    """(train, held out) row numbers of each fold; a smear is never in both.

    A cell without a smear's name is a smear of its own, and so is every cell if all come from one.
    """
    number = [f"cell {i}" for i in range(len(cells.labels))]
    groups = np.where(cells.groups == "", number, cells.groups)
    if len(np.unique(groups)) < 2:
        groups = np.array(number)
    largest = int(np.bincount(cells.labels).max())
    count = max(2, min(NUM_FOLDS, len(np.unique(groups)), largest))
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return [(a, b) for a, b in splitter.split(cells.features, cells.labels, groups)]


def _cross_validated(
    cells: Cells, strength: float, log_prior: Floats, weighted: bool, seed: int
) -> Floats:
    """Macro-F1 of the decisions on each fold, by what was fitted to the others."""
    scores = []
    for rest, held_out in folds(cells, seed):
        fitted = fit_one(cells.features[rest], cells.labels[rest], strength, weighted)
        logits = fitted.logits(fitted.standardised(cells.features[held_out]))
        decided = (logits - log_prior).argmax(axis=1)
        scores.append(_macro_f1(cells.labels[held_out], decided))
    return np.array(scores)


def _row(parameters: Parameters, train: Cells, val: Cells, log_prior: Floats) -> Row:
    """The losses and validation scores that a network's history has."""
    logits = [parameters.logits(parameters.standardised(c.features)) for c in (train, val)]
    decided = (logits[1] - log_prior).argmax(axis=1)
    return {
        "train/loss": _loss(train.labels, logits[0]),
        "val/loss": _loss(val.labels, logits[1]),
        "val/accuracy": float((decided == val.labels).mean()),
        "val/balanced_accuracy": float(balanced_accuracy_score(val.labels, decided)),
        "val/macro_f1": _macro_f1(val.labels, decided),
    }


def _macro_f1(labels: Labels, decided: NDArray[Any]) -> float:
    present = np.unique(labels)
    return float(f1_score(labels, decided, labels=present, average="macro", zero_division=0))


def _loss(labels: Labels, logits: Floats) -> float:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return float(log_loss(labels, shares, labels=np.arange(len(CLASSES))))


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
