"""Hold out a share of every class without taking a smear apart."""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit

_STARTS = 20  # random draws of smears to start from, at most
_MAX_MOVES = 200  # smears moved after a draw, at most
_GOOD = 0.2  # a class share off by this part of the wanted share is near enough
_NO_CELL_HELD = 10.0  # cost of a class with no cell held out
_NO_CELL_KEPT = 100.0  # cost of a class with no cell left to train on


def hold_out(
    units: NDArray[np.int64],
    labels: NDArray[np.int64],
    share: float,
    stays: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.bool_]:
    """(n,) which cells to hold out, about `share` of every class.

    Scikit-learn draws whole units at random; units then change sides, best move first, until the
    class shares are near, and units of one cell fill each class up to its share. The first draw
    that comes near enough is taken, so that another seed gives another division.

    Args:
        units: (n,) unit of each cell, 0 to u - 1: cells of one unit stay together.
        labels: (n,) class of each cell, from 0.
        share: of the cells of every class, 0 to 1.
        stays: (u,) units that are never held out.
        seed: of every random draw.
    """
    counts = np.zeros((len(stays), int(labels.max(initial=0)) + 1), np.int64)
    np.add.at(counts, (units, labels), 1)
    random = np.random.default_rng(seed)
    single = (counts.sum(axis=1) == 1) & ~stays
    whole = np.flatnonzero((counts.sum(axis=1) > 1) & ~stays)
    aim = _Aim(counts.sum(axis=0), counts[~stays].sum(axis=0), counts[single].sum(axis=0), share)
    held = np.zeros(len(stays), bool)
    held[whole] = _choose(counts[whole], aim, share, random)
    for label, missing in enumerate(aim.missing(counts[held].sum(axis=0))):
        loose = np.flatnonzero(single & (counts[:, label] == 1))
        held[random.permutation(loose)[:missing]] = True
    return held[units]


class _Aim:
    """How near a choice of units comes, when single cells fill up what it lacks."""

    def __init__(
        self,
        total: NDArray[np.int64],
        movable: NDArray[np.int64],
        single: NDArray[np.int64],
        share: float,
    ) -> None:
        """Cells of each class: (c,) in all, in units that may be held out, in units of one cell."""
        self.total, self.single = total, single
        self.share = np.minimum(share, movable / np.maximum(total, 1))
        wanted = np.rint(self.share * total).astype(np.int64)
        self.wanted = np.where(total > 1, np.clip(wanted, 1, total - 1), 0)
        self.good = len(total) * (_GOOD * share) ** 2

    def missing(self, held: NDArray[np.int64]) -> NDArray[np.int64]:
        """(..., c) single cells that each class still takes."""
        return np.clip(self.wanted - held, 0, self.single)

    def cost(self, held: NDArray[np.int64]) -> NDArray[np.float64]:
        """(...) for (..., c) cells held out in whole units; 0 is every class at its share."""
        held = held + self.missing(held)
        total = np.maximum(self.total, 1)
        off = (held / total - self.share) ** 2
        off = off + _NO_CELL_HELD * ((held == 0) & (self.total > 1))
        off = off + _NO_CELL_KEPT * ((held == self.total) & (self.total > 0))
        return np.asarray(off.sum(axis=-1), np.float64)


def _choose(
    counts: NDArray[np.int64], aim: _Aim, share: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """(u,) which of the units, with (u, c) cells of each class, to hold out."""
    if len(counts) < 2:
        return _improve(np.zeros(len(counts), bool), counts, aim)
    num_held = min(max(round(share * len(counts)), 1), len(counts) - 1)
    draw = GroupShuffleSplit(_STARTS, test_size=num_held, random_state=int(random.integers(2**31)))
    best = np.zeros(len(counts), bool)
    for _, drawn in draw.split(counts, groups=np.arange(len(counts))):
        start = np.zeros(len(counts), bool)
        start[drawn] = True
        held = _improve(start, counts, aim)
        cost = aim.cost(counts[held].sum(axis=0))
        if cost < aim.cost(counts[best].sum(axis=0)):
            best = held
        if cost <= aim.good:
            break
    return best


def _improve(held: NDArray[np.bool_], counts: NDArray[np.int64], aim: _Aim) -> NDArray[np.bool_]:
    """Move the unit that helps most to the other side until that is near or nothing helps."""
    held = held.copy()
    for _ in range(_MAX_MOVES if len(held) else 0):
        now = counts[held].sum(axis=0)
        if aim.cost(now) <= aim.good:
            break
        costs = aim.cost(now + np.where(held[:, None], -counts, counts))
        move = int(costs.argmin())
        if costs[move] >= aim.cost(now):
            break
        held[move] = not held[move]
    return held
