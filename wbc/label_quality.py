"""Which cells a person should look at again: one ranked table of doubts about labels and pictures.

Four kinds, the surest first: *label conflict* and *near duplicate* come from what split found
(duplicates.csv); *likely label error* is confident learning (Northcutt, Jiang & Chuang 2021,
"Confident learning: estimating uncertainty in dataset labels"; cleanlab) on cross-validated
predictions of a plain classifier; *outlier* is a cell far from all others of its type and source.
Every cell with pixels is judged, tests and other laboratories as well. Nothing is changed: it is a
reading list.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wbc.cells import CLASSES
from wbc.metrics import class_indices
from wbc.smears import names_of

CONFLICT, ERROR, DUPLICATE, OUTLIER = (
    "label conflict",
    "likely label error",
    "near duplicate",
    "outlier",
)
KINDS = (CONFLICT, ERROR, DUPLICATE, OUTLIER)  # in the order of the ranking
COLUMNS = (
    "path", "split", "group", "label", "kind", "suggested", "score", "partner", "partner_label",
)  # fmt: skip
NUM_FOLDS = 5
NUM_NEIGHBOURS = 10
FEW = 30  # cells of a type and source to learn from; fewer teach too little of how it is stained
HASH_BITS = 64

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """What cross-validation says of n cells."""

    probabilities: Floats  # (n, 5), by classifiers that did not learn from the cell or its smear
    judged: NDArray[np.bool_]  # (n,) False where no other smear has the cell's type
    num_like: Ints  # (n,) cells of its type and source that its classifier learned from
    accuracy: float  # share of the judged cells whose label is the most probable type; nan: none


def judge(descriptors: Floats, labels: Ints, groups: list[str], sources: list[str]) -> Judgement:
    """Cross-validated probabilities of cells with `descriptors` (n, d).

    Cells of one smear (`groups`, "" where unknown) are judged together. The classifier is a linear
    discriminant with Ledoit & Wolf's shrinkage: quick, hardly moved by a few wrong labels, and on
    smears that it has not seen better than curved ones (docs/data_quality.md).
    """
    probabilities = np.zeros((len(labels), len(CLASSES)))
    judged, num_like = np.zeros(len(labels), dtype=bool), np.zeros(len(labels), np.int64)
    like = pd.DataFrame({"source": sources, "label": labels}).groupby(["source", "label"]).ngroup()
    kind = like.to_numpy(np.int64)
    for train, held_out in _folds(labels, groups):
        classes = np.unique(labels[train])
        if len(classes) < 2:
            continue
        model = make_pipeline(
            StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        )
        model.fit(descriptors[train], labels[train])
        probabilities[np.ix_(held_out, classes)] = model.predict_proba(descriptors[held_out])
        judged[held_out] = np.isin(labels[held_out], classes)
        num_like[held_out] = np.bincount(kind[train], minlength=kind.max() + 1)[kind[held_out]]
    right = probabilities[judged].argmax(axis=1) == labels[judged]
    accuracy = float(right.mean()) if judged.any() else float("nan")
    return Judgement(probabilities, judged, num_like, accuracy)


def _folds(labels: Ints, groups: list[str]) -> list[tuple[Ints, Ints]]:
    """Train and held-out rows of each fold; none where there is too little to divide."""
    if len(labels) == 0 or np.bincount(labels).max() < NUM_FOLDS:
        return []
    if not any(groups):  # the same but much faster
        folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=0)
        return list(folds.split(labels, labels))
    names = [group or f"\0{row}" for row, group in enumerate(groups)]
    if len(set(names)) < NUM_FOLDS:
        return []
    grouped = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
    return list(grouped.split(labels, labels, names))


def label_errors(labels: Ints, judgement: Judgement) -> Ints:
    """Rows of likely label errors, the least probable label first.

    How many there are is confident learning's estimate, which asks for every pair of types
    whether the probability of the other type is as high as that type's own cells have it.
    Cells with FEW like them to learn from come last, for they are doubted as a whole.
    """
    rows = np.flatnonzero(judgement.judged)
    present = np.unique(labels[rows])
    if len(present) < 2:
        return np.zeros(0, np.int64)
    p = judgement.probabilities[np.ix_(rows, present)]
    p = p / p.sum(axis=1, keepdims=True)
    found = find_label_issues(np.searchsorted(present, labels[rows]), p, n_jobs=1)
    rows = rows[found]
    own = judgement.probabilities[rows, labels[rows]]
    rare = judgement.num_like[rows] < FEW
    return np.asarray(rows[np.lexsort((own, rare))], np.int64)


def strangeness(descriptors: Floats, labels: Ints, sources: list[str]) -> tuple[Floats, Floats]:
    """How far every cell lies from others of its type and source (n,), and where "far" begins (n,).

    The distance is the mean to the 10 nearest, in standardised descriptors, in units of the
    median of the type and source. Far is Tukey's (1977) far out: 3 interquartile ranges above the
    third quartile. A type with fewer than 10 cells in a source has no outliers.
    """
    distance, fence = np.ones(len(labels)), np.full(len(labels), np.inf)
    if len(labels) == 0:
        return distance, fence
    # Clipped, for a colour that one cell alone has must not outweigh all else.
    scaled = np.clip(StandardScaler().fit_transform(descriptors), -5, 5)
    parts = pd.DataFrame({"source": sources, "label": labels}).groupby(["source", "label"])
    for _, part in parts:
        rows = part.index.to_numpy()
        if len(rows) < NUM_NEIGHBOURS:
            continue
        nearest = NearestNeighbors(n_neighbors=min(NUM_NEIGHBOURS, len(rows) - 1))
        mean = nearest.fit(scaled[rows]).kneighbors()[0].mean(axis=1)
        mean = mean / max(float(np.median(mean)), 1e-12)
        first, third = np.quantile(mean, (0.25, 0.75))
        distance[rows], fence[rows] = mean, third + 3 * (third - first)
    return distance, fence


def issues(cells: pd.DataFrame, copies: pd.DataFrame, descriptors: Floats) -> "Issues":
    """All doubts about the cells of a pixel store.

    `cells` is its index, in the order of `descriptors` (n, d); `copies` is duplicates.csv.
    """
    labels, sources = class_indices(list(cells["label"])), list(cells["source"])
    judgement = judge(descriptors, labels, names_of(cells), sources)
    most_probable = judgement.probabilities.argmax(axis=1)
    suggestion = {
        path: CLASSES[most_probable[row]] if judgement.judged[row] else ""
        for row, path in enumerate(cells["path"])
    }
    tables = [_copies_table(copies, cells, suggestion)]
    rows = label_errors(labels, judgement)
    own = judgement.probabilities[rows, labels[rows]]
    suggested = [CLASSES[label] for label in most_probable[rows]]
    tables.append(_cells_table(cells, rows, ERROR, 1 - own, suggested))
    distance, fence = strangeness(descriptors, labels, sources)
    far = np.flatnonzero(distance > fence)
    far = far[np.argsort(-distance[far], kind="stable")]
    tables.append(_cells_table(cells, far, OUTLIER, distance[far], [""] * len(far)))
    table = pd.concat(tables, ignore_index=True)
    order = table["kind"].map(KINDS.index).sort_values(kind="stable").index
    table = table.loc[order].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    rare = cells[judgement.judged & (judgement.num_like < FEW)].groupby(["source", "label"]).size()
    num_judged = int(judgement.judged.sum())
    return Issues(table, len(cells), num_judged, judgement.accuracy, rare.to_dict())


@dataclass(frozen=True)
class Issues:
    """`table`: rank and COLUMNS, one row a doubt, a cell may have several.

    `score` is by kind: of conflicts and duplicates the share of equal bits of the pictures'
    hashes, of label errors 1 less the probability of the label, of outliers the distance to its
    like in medians. `accuracy` is that of the classifier that judged: where it is low, its
    doubts are worth little.
    """

    table: pd.DataFrame
    num_cells: int
    num_judged: int
    accuracy: float
    rare: dict[tuple[str, str], int]  # (source, type): judged cells with FEW like them

    def counts(self) -> dict[str, int]:
        """Rows of each kind."""
        return {kind: int((self.table["kind"] == kind).sum()) for kind in KINDS}

    def summary(self) -> dict[str, object]:
        """For summary.json; `agreement` is null where nothing could be judged."""
        agreement = round(self.accuracy, 6) if self.num_judged else None
        return {
            "cells": self.num_cells,
            "judged": self.num_judged,
            "agreement": agreement,
            "issues": self.counts(),
        }


def _cells_table(
    cells: pd.DataFrame, rows: Ints, kind: str, scores: Floats, suggested: list[str]
) -> pd.DataFrame:
    table = cells.iloc[rows][["path", "split", "group", "label"]].reset_index(drop=True)
    table = table.assign(kind=kind, suggested=suggested, score=scores.round(6))
    return table.assign(partner="", partner_label="")


def _copies_table(
    copies: pd.DataFrame, cells: pd.DataFrame, suggestion: dict[str, str]
) -> pd.DataFrame:
    """Pairs of one picture, the most alike first; a conflict where their labels differ."""
    group = dict(zip(cells["path"], cells["group"], strict=True))
    table = pd.DataFrame(
        {
            "path": copies["path_a"],
            "split": copies["split_a"],
            "group": [group.get(path, "") for path in copies["path_a"]],
            "label": copies["label_a"],
            "kind": np.where(copies["label_a"] == copies["label_b"], DUPLICATE, CONFLICT),
            "suggested": [suggestion.get(path, "") for path in copies["path_a"]],
            "score": (1 - copies["distance"].astype(float) / HASH_BITS).round(6),
            "partner": copies["path_b"],
            "partner_label": copies["label_b"],
        },
        columns=list(COLUMNS),
    )
    table.loc[table["kind"] == DUPLICATE, "suggested"] = ""
    return table.sort_values("score", ascending=False, kind="stable")
