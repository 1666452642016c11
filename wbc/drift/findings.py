"""A folder's cells measure by measure against the reference's, within the classes decided on."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from wbc.calibration import confidences
from wbc.drift import stratified
from wbc.drift.stratified import Classes, Group, Numbers
from wbc.metrics import NUM_DECIMALS
from wbc.model import Card, decide, probabilities_of
from wbc.picture_statistics import STATISTICS
from wbc.reference import Reference, is_far
from wbc.shift import SHIFTED

# Both are needed: p, corrected for the number of measures, and a difference that matters.
ALPHA: Final = 0.01  # of folders of the reference's own kind, at most so many drift by chance
LEAST_PAIRS: Final = 0.1  # from one half: 60 % of the pairs, about 0.36 standard deviations
LEAST_MIX: Final = 0.1  # of the cells would have to be of other classes

Kind = Literal["mix", "far", "larger", "smaller", "other"]


@dataclass(frozen=True)
class Cells:
    """What is compared of N cells: decisions, confidence, distance, whether it is far, and
    {statistic: (N,)} of their squares."""

    classes: Classes
    confidence: Numbers
    distance: Numbers
    far: NDArray[np.bool_]
    pictures: Mapping[str, Numbers]

    def __len__(self) -> int:
        return len(self.classes)

    def some(self, rows: NDArray[np.int64]) -> "Cells":
        pictures = {name: values[rows] for name, values in self.pictures.items()}
        return Cells(
            self.classes[rows], self.confidence[rows], self.distance[rows], self.far[rows], pictures
        )

    def counts(self, num_classes: int) -> NDArray[np.int64]:
        return np.bincount(self.classes, minlength=num_classes).astype(np.int64)


@dataclass(frozen=True)
class Measure:
    """`name` is its row, `title` what a person calls it; `kind` says which way counts as drift;
    `low` and `high` what its ends mean."""

    name: str
    title: str
    kind: Kind
    low: str = ""
    high: str = ""


MIX: Final = Measure("class_mix", "mix of the classes", "mix")
FAR: Final = Measure("out_of_domain", "cells out of domain", "far")
MEASURES: Final = (
    MIX,
    FAR,
    Measure("distance", "distance from the training cells", "larger", high="farther"),
    Measure("confidence", "confidence of the decisions", "smaller", low="less sure"),
    *(Measure(s.name, s.title, "other", s.low, s.high) for s in STATISTICS),
)


@dataclass(frozen=True)
class Finding:
    """One measure: in the reference (weighted to the folder's mix) and found, as medians; shares
    for `far`; nan for the mix.

    `effect`: the share of pairs of one class in which the folder's value is the larger
    (stratified.Ranked); the share of far cells; of the mix the total variation, which is the share
    of cells that would have to be of other classes. `p_corrected`: by Holm over all measures.
    """

    measure: Measure
    usual: float
    found: float
    effect: float
    p: float
    p_corrected: float = 1.0

    @property
    def drifted(self) -> bool:
        return self.p_corrected < ALPHA and self.matters

    @property
    def matters(self) -> bool:
        if self.measure.kind == "mix":
            return self.effect >= LEAST_MIX
        if self.measure.kind == "far":
            return self.effect > SHIFTED
        return abs(self.effect - 0.5) >= LEAST_PAIRS


def usual_cells(reference: Reference, card: Card) -> Cells:
    """The validation cells of a reference as the model with this card decides on them."""
    plain = probabilities_of(reference.logits, card, calibrated=False)
    decisions = decide(plain, card)
    shares = probabilities_of(reference.logits, card).astype(np.float64)
    far = is_far(reference, reference.distances)
    sure = confidences(np.round(shares, NUM_DECIMALS), decisions)
    return Cells(decisions, sure, reference.distances, far, reference.pictures)


def folder_cells(
    rows: Iterable[Mapping[str, Any]], pictures: Mapping[str, Numbers], card: Card
) -> Cells:
    """From rows of `wbc predict` of files that could be read, and their picture statistics."""
    rows = list(rows)
    names = list(card["classes"])
    return Cells(
        np.array([names.index(row["class"]) for row in rows], dtype=np.int64),
        np.array([row[f"p_{row['class']}"] for row in rows], dtype=np.float64),
        np.array([row["distance"] for row in rows], dtype=np.float64),
        np.array([row["out_of_domain"] for row in rows], dtype=np.bool_),
        pictures,
    )


def joined(parts: Sequence[Cells]) -> Cells:
    """The cells of all parts (at least one), in their order."""
    return Cells(
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.distance for part in parts]),
        np.concatenate([part.far for part in parts]),
        {
            name: np.concatenate([part.pictures[name] for part in parts])
            for name in parts[0].pictures
        },
    )


def compare(found: Cells, usual: Cells, num_classes: int) -> list[Finding]:
    """A finding for every measure that both have, in the order of MEASURES."""
    findings = [_mix(found, usual, num_classes), _far(found, usual)]
    for measure in MEASURES[2:]:
        values = _values(found, measure.name), _values(usual, measure.name)
        if values[0] is not None and values[1] is not None:
            findings.append(_ranked(measure, Group(values[0], found.classes),
                                    Group(values[1], usual.classes)))  # fmt: skip
    corrected = stratified.holm(np.array([finding.p for finding in findings]))
    return [
        dataclasses.replace(finding, p_corrected=float(p))
        for finding, p in zip(findings, corrected, strict=True)
    ]


def num_comparable(found: Cells, usual: Cells) -> int:
    """How many of the folder's cells are of a class that the reference has too."""
    return int(np.isin(found.classes, usual.classes).sum())


def values_of(cells: Cells, measure: Measure) -> Numbers:
    values = _values(cells, measure.name)
    if values is None:
        raise KeyError(measure.name)
    return values


def _values(cells: Cells, name: str) -> Numbers | None:
    if name in ("distance", "confidence"):
        return np.asarray(getattr(cells, name))
    return cells.pictures.get(name)


def _mix(found: Cells, usual: Cells, num_classes: int) -> Finding:
    here, there = found.counts(num_classes), usual.counts(num_classes)
    variation = float(np.abs(here / here.sum() - there / there.sum()).sum() / 2)
    return Finding(MIX, math.nan, math.nan, variation, stratified.other_mix(here, there))


def _far(found: Cells, usual: Cells) -> Finding:
    here, there = (Group(each.far.astype(np.float64), each.classes) for each in (found, usual))
    share = float(found.far.mean())
    weights = stratified.like_mix(found.classes, usual.classes)
    expected = float(weights[usual.far].sum()) if weights.any() else math.nan
    return Finding(FAR, expected, share, share, stratified.more_flagged(here, there))


def _ranked(measure: Measure, found: Group, usual: Group) -> Finding:
    ranked = stratified.van_elteren(found, usual)
    weights = stratified.like_mix(found.classes, usual.classes)
    ps = {"larger": ranked.larger, "smaller": ranked.smaller, "other": ranked.other}
    return Finding(
        measure,
        stratified.weighted_median(usual.values, weights),
        float(np.median(found.values)),
        ranked.auroc,
        1.0 if math.isnan(ranked.auroc) else ps[measure.kind],
    )


def drifted(findings: Sequence[Finding], *kinds: Kind) -> list[Finding]:
    """Those that drifted, of some kinds, the largest first."""
    found = [f for f in findings if f.drifted and f.measure.kind in kinds]
    return sorted(found, key=lambda f: -abs(f.effect - 0.5))
