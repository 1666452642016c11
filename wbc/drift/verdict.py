"""From the findings to a verdict in words and an exit status."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from wbc.binomial import clopper_pearson
from wbc.drift import stratified
from wbc.drift.findings import (
    ALPHA,
    FAR,
    LEAST_PAIRS,
    MEASURES,
    Cells,
    Finding,
    drifted,
    num_comparable,
)
from wbc.shift import OUT
from wbc.wording import NBSP, cells, p_value, percent

LIKE, MIX = "like training", "another mix of cells"
SHIFTED, OUTSIDE, FEW = "shifted", "out of domain", "too few cells to say"
EXIT_STATUS: Final = {LIKE: 0, SHIFTED: 3, OUTSIDE: 3, MIX: 4, FEW: 5}
MIN_CELLS: Final = 30  # with fewer only strong drift shows, and silence says nothing
POWER: Final = 0.8

WORDS: Final = {
    LIKE: "Nothing measured differs from the reference by more than chance and by enough to"
    " matter.",
    MIX: "The mix of cell types is another; of the same type, cells look like the reference's.",
    SHIFTED: "The pictures are no longer like the reference's.",
    OUTSIDE: "Most of these cells are such as the model's own laboratory hardly ever sent.",
    FEW: "No drift shows, but with so few cells only a very large one would.",
}


@dataclass(frozen=True)
class Verdict:
    """`reasons`: what drifted, with numbers; `notes`: what limits the verdict."""

    word: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return WORDS[self.word]


def conclude(
    findings: Sequence[Finding], found: Cells, usual: Cells, classes: Sequence[str]
) -> Verdict:
    """Appearance first: with other pictures the mix decided on may be a mistake of the model."""
    look = drifted(findings, "larger", "smaller", "other")
    far, mix = drifted(findings, "far"), drifted(findings, "mix")
    comparable = num_comparable(found, usual)
    if far and far[0].found > OUT:
        word = OUTSIDE
    elif far or look:
        word = SHIFTED
    elif mix:
        word = MIX
    else:
        word = LIKE if comparable >= MIN_CELLS else FEW
    reasons = [reason(finding) for finding in [*far, *look]]
    reasons += [mix_reason(one, found, usual, classes) for one in mix]
    said = notes(found, usual, classes, comparable)
    if mix and word != MIX:
        said.append("With other pictures, the mix decided on may itself be the model's mistake.")
    return Verdict(word, tuple(reasons), tuple(said))


def reason(finding: Finding) -> str:
    """A drifted measure in words."""
    p = f"{p_value(finding.p_corrected)} after correction"
    if finding.measure == FAR:
        return (
            f"{percent(finding.found, 0)} of the cells are out of domain, where"
            f" {percent(finding.usual)} of such cells are in the reference ({p})."
        )
    more = finding.effect > 0.5
    pairs = finding.effect if more else 1 - finding.effect
    word = finding.measure.high if more else finding.measure.low
    return (
        f"{finding.measure.title}, {word} in {percent(pairs, 0)} of the pairs of one cell type"
        f" (median {finding.found:.3g}, usually {finding.usual:.3g}; {p})."
    )


def mix_reason(finding: Finding, found: Cells, usual: Cells, classes: Sequence[str]) -> str:
    """The class whose share differs most, with exact intervals."""
    here, there = found.counts(len(classes)), usual.counts(len(classes))
    k = int(np.argmax(np.abs(here / here.sum() - there / there.sum())))
    return (
        f"mix of the classes: {_share(here, k)} {classes[k]}s, {_share(there, k)} in the reference"
        f" ({p_value(finding.p_corrected)} after correction)."
    )


def notes(found: Cells, usual: Cells, classes: Sequence[str], comparable: int) -> list[str]:
    said = []
    absent = [name for k, name in enumerate(classes)
              if (found.classes == k).any() and not (usual.classes == k).any()]  # fmt: skip
    if absent:
        said.append(
            f"The reference has no cell decided as {' or '.join(absent)}, so"
            f" {cells(len(found) - comparable)} of the folder are compared in their mix only."
        )
    error = stratified.standard_error(found.classes, usual.classes)
    if not math.isnan(error):
        said.append(
            f"{len(found):,} against {cells(len(usual))}: a shift of {detectable(error):.1f}"
            " standard deviations within the types would show in four folders of five, a smaller"
            " one more rarely."
        )
    return said


def detectable(error: float) -> float:
    """Standard deviations of a normal measure that show with POWER at the hardest of Holm's steps,
    and are large enough to matter (LEAST_PAIRS).

    `error`: of the share of pairs (stratified.standard_error). For normal values of equal spread
    that share is norm.cdf(d / sqrt 2).
    """
    significant = norm.ppf(1 - ALPHA / len(MEASURES) / 2) * error
    least = max(significant, LEAST_PAIRS) + norm.ppf(POWER) * error
    return float(math.sqrt(2) * norm.ppf(min(0.5 + least, 0.999)))


def _share(counts: NDArray[np.int64], k: int) -> str:
    low, high = clopper_pearson(counts[k], counts.sum())
    share = counts[k] / counts.sum()
    return f"{percent(share, 0)} ({100 * low:.0f} to {100 * high:.0f}{NBSP}%)"
