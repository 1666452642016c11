"""What happens to copies of one picture: none is on both sides of a split, none has two labels."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wbc.duplicates import Copies

_RANK = {"train": 0, "val": 1, "test": 2}  # of splits made here
_GIVEN = 3  # published test sets and external sources


@dataclass(frozen=True)
class Link:
    """Two copies of one picture; cell `a` is the one that stays if only one may."""

    a: int
    b: int
    kind: str  # exact | near
    bits: int  # between the hashes


@dataclass
class Outcome:
    """The division of n cells, in the order of their paths."""

    cells: pd.DataFrame  # metadata
    side: list[str]  # the split a cell belongs to, also where it is left out
    given: list[bool]  # whether that split was published or is external, so not made here
    reason: list[str]  # why the cell is left out; "" where it stays
    links: list[Link] = field(default_factory=list)
    crossing: set[int] = field(default_factory=set)  # numbers of links that crossed splits
    notes: list[str] = field(default_factory=list)  # what a reader should know
    warnings: list[str] = field(default_factory=list)  # what a reader should worry about

    @property
    def split(self) -> list[str]:
        """The split of each cell that stays; "" for the others."""
        pairs = zip(self.side, self.reason, strict=True)
        return ["" if reason else side for side, reason in pairs]

    @property
    def table(self) -> pd.DataFrame:
        """split.csv: metadata with `split` and `reason`."""
        return self.cells.assign(split=self.split, reason=self.reason)

    def rank(self, cell: int) -> int:
        """Which side keeps its copy: given test sets, then test, validation and training."""
        return _GIVEN if self.given[cell] else _RANK[self.side[cell]]

    def stays(self, link: Link) -> bool:
        return not self.reason[link.a] and not self.reason[link.b]

    def label_conflict(self, link: Link) -> bool:
        labels = self.cells["label"]
        return bool(labels[link.a] != labels[link.b])


def reorder(copies: Copies, order: NDArray[np.int64]) -> Copies:
    """The same copies for cells in another order; a picture is again named by its first cell."""
    first: dict[int, int] = {}
    picture = [
        first.setdefault(name, row) if name >= 0 else -1
        for row, name in enumerate(copies.picture[order].tolist())
    ]
    near = sorted((*sorted((first[a], first[b])), bits) for a, b, bits in copies.near.tolist())
    return Copies(np.array(picture, np.int64), np.array(near, np.int64).reshape(-1, 3))


def links(outcome: Outcome, copies: Copies) -> list[Link]:
    """Exact copies, each linked to the one that stays; near copies each with each."""

    def first_stays(cell: int) -> tuple[int, int]:
        return -outcome.rank(cell), cell

    members: dict[int, list[int]] = {}
    for cell, picture in enumerate(copies.picture.tolist()):
        if picture >= 0:
            members.setdefault(picture, []).append(cell)
    found = []
    for cells in members.values():
        kept, *others = sorted(cells, key=first_stays)
        found += [Link(kept, other, "exact", 0) for other in others]
    for one, other, bits in copies.near.tolist():
        pairs = [sorted((a, b), key=first_stays) for a in members[one] for b in members[other]]
        found += [Link(a, b, "near", bits) for a, b in sorted(pairs)]
    return found


def leave_out_conflicts(outcome: Outcome) -> None:
    """Training cells whose very pixels bear another label elsewhere: which is right?"""
    exact = [link for link in outcome.links if link.kind == "exact"]
    other = {link.a: link.b for link in reversed(exact) if outcome.label_conflict(link)}
    label, path = outcome.cells["label"], outcome.cells["path"]
    for kept, odd in other.items():
        for cell in (kept, *(link.b for link in exact if link.a == kept)):
            if not outcome.given[cell] and not outcome.reason[cell]:
                twin = kept if label[cell] != label[kept] else odd
                outcome.reason[cell] = (
                    f"label conflict: the same pixels as {path[twin]}, a {label[twin]}"
                )


def leave_out_crossing(outcome: Outcome) -> None:
    """The training-side copy of every two that lie in different splits, unless both are given."""
    path = outcome.cells["path"]
    crossing = [
        (-max(outcome.rank(link.a), outcome.rank(link.b)), number)
        for number, link in enumerate(outcome.links)
        if outcome.side[link.a] != outcome.side[link.b]
        and not (outcome.given[link.a] and outcome.given[link.b])
    ]
    for _, number in sorted(crossing):
        link = outcome.links[number]
        if outcome.stays(link):
            kept, dropped = sorted((link.a, link.b), key=lambda cell: -outcome.rank(cell))
            outcome.crossing.add(number)
            outcome.reason[dropped] = f"{link.kind} copy of {path[kept]} in {outcome.side[kept]}"


def leave_out_repeated(outcome: Outcome) -> None:
    """All but one of the training cells with the same pixels."""
    path = outcome.cells["path"]
    for link in outcome.links:
        same_side = outcome.side[link.a] == outcome.side[link.b]
        if link.kind == "exact" and same_side and not outcome.given[link.b] and outcome.stays(link):
            outcome.reason[link.b] = f"exact copy of {path[link.a]}, which stays"
