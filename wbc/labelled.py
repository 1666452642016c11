"""Which cells of a new laboratory are labelled for adapting a model, and which remain to test it.

Smears stay whole: no smear has cells on both sides, since cells of one smear share its stain. A
cell whose smear is unknown counts as a smear of its own. Smears with copies of one picture, exact
or near, count as one: else a cell that was learned from would be judged.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from wbc.cells import CLASSES
from wbc.errors import UserError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """Positions in the set's table: `labelled` are learned from, `rest` judges, none is in both.

    `num_unused` cells are in neither: they share a smear with a labelled one, or are copies of
    cells that do. `shortages` says, in a sentence a class, where fewer cells were labelled than
    asked for.
    """

    labelled: Rows
    rest: Rows
    num_unused: int
    shortages: tuple[str, ...]


def draw(
    cells: pd.DataFrame, per_class: int, seed: int, copies: pd.DataFrame | None = None
) -> Draw:
    """Draw up to `per_class` cells of each class, whole smears apart, at most half of each class.

    Smears come in a random order; one is taken if a class that still lacks cells is in it, and if
    at least half of each of its classes stays for the test. Where smears are unknown the cells of
    a smaller `per_class` are therefore among those of a larger one.

    Args:
        cells: rows of the pixel store's index (path, group, label, sha256) of one set.
        per_class: how many cells of each class are wanted, at least 1.
        copies: duplicates.csv (path_a, path_b); None: files with the same bytes alone are copies.

    Raises:
        UserError: fewer than two classes could be labelled.
    """
    if cells.empty:
        _refuse_too_few(cells, np.empty(0, dtype=np.int64))
    labels = cells["label"].to_numpy()
    smears = np.where(cells["group"] == "", "\0" + cells["path"], cells["group"])
    rng = np.random.default_rng((seed, 20))  # apart from other draws with the same seed
    order = rng.permutation(np.unique(smears))
    place = {smear: position for position, smear in enumerate(order)}
    rank = _joined(np.array([place[smear] for smear in smears]), _pairs(cells, copies))
    members = pd.Series(range(len(cells))).groupby(rank)
    taken = _take({k: rows.to_numpy() for k, rows in members}, labels, per_class)
    shuffled = rng.permutation(len(cells))
    candidates = shuffled[np.isin(shuffled, taken)]
    candidates = candidates[np.argsort(rank[candidates], kind="stable")]
    chosen = [candidates[labels[candidates] == name][:per_class] for name in CLASSES]
    labelled = np.sort(np.concatenate(chosen)).astype(np.int64)
    rest = np.setdiff1d(np.arange(len(cells)), taken).astype(np.int64)
    _refuse_too_few(cells, labelled)
    shortages = _shortages(labels, labelled, per_class)
    return Draw(labelled, rest, len(taken) - len(labelled), shortages)


def _pairs(cells: pd.DataFrame, copies: pd.DataFrame | None) -> Rows:
    """(m, 2) positions of cells that show one picture."""
    first = pd.Series(range(len(cells))).groupby(cells["sha256"].to_numpy()).transform("first")
    pairs = [np.column_stack([first, np.arange(len(cells))])]
    if copies is not None:
        position = {path: row for row, path in enumerate(cells["path"])}
        known = copies[copies["path_a"].isin(position) & copies["path_b"].isin(position)]
        pairs.append(np.column_stack([known[name].map(position) for name in ("path_a", "path_b")]))
    return np.concatenate(pairs).astype(np.int64)


def _joined(rank: Rows, pairs: Rows) -> Rows:
    """The rank of each cell's smear: of those that copies join, the lowest."""
    a, b = rank[pairs].T
    size = int(rank.max()) + 1
    graph = coo_array((np.ones(len(a), bool), (a, b)), (size, size))
    _, part = connected_components(graph, directed=False)
    lowest = pd.Series(range(size)).groupby(part).transform("min").to_numpy()
    return np.asarray(lowest[rank], np.int64)


def _take(smears: dict[int, Rows], labels: NDArray[np.object_], per_class: int) -> Rows:
    """All cells of the smears that are taken, in the order of the dictionary's keys."""
    half = {name: total // 2 for name, total in Counter(labels).items()}
    have: Counter[str] = Counter()
    taken: list[Rows] = []
    for _, rows in sorted(smears.items()):
        counts = Counter(labels[rows])
        wanted = any(have[name] < min(per_class, half[name]) for name in counts)
        if wanted and all(have[name] + n <= half[name] for name, n in counts.items()):
            taken.append(rows)
            have.update(counts)
    return np.concatenate(taken) if taken else np.empty(0, dtype=np.int64)


def _refuse_too_few(cells: pd.DataFrame, labelled: Rows) -> None:
    classes = cells["label"].iloc[labelled].nunique()
    if classes < 2:
        raise UserError(
            f"Adapting needs cells of at least two classes with at least half of each left for the"
            f" test, but {len(labelled)} of the set's {len(cells)} cells ({classes} classes) could"
            " be labelled so; bring more cells, from more smears."
        )


def _shortages(labels: NDArray[np.object_], labelled: Rows, per_class: int) -> tuple[str, ...]:
    sentences = []
    for name in CLASSES:
        total = int((labels == name).sum())
        count = int((labels[labelled] == name).sum())
        if total == 0:
            sentences.append(f"{name}: the set has none")
        elif count < per_class:
            sentences.append(
                f"{name}: {count} labelled instead of {per_class}, since at least half of its"
                f" {total} cells must remain to judge by and smears stay whole"
            )
    return tuple(sentences)
