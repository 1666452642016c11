"""95 % intervals of the scores of one evaluation set.

Scores are bootstrapped over smears where they are known, since cells of one smear resemble each
other, else over cells, class by class. Neither knows what it has never seen: a class without a
mistake looks certain, and few smears look alike. So no interval is narrower than what the counts
alone allow for independent cells (`limits_of_counts`). The calibration error, which chance alone
makes larger than 0, is left to `wbc.ece_interval`. How often the intervals hold the truth is
measured by `python -m benchmarks.coverage`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wbc import calibration
from wbc.binomial import clopper_pearson, wilson
from wbc.ece_interval import bins_of, design_effect, ece_interval
from wbc.resampling import replicate_sums, tail
from wbc.smears import number_of, several

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Limits = tuple[float, float]
COUNTED: Final = ("accuracy", "balanced_accuracy", "macro_f1", "mcc")  # from the confusions alone
CALIBRATION: Final = ("ece", "ece_uncalibrated")  # in the order of the sums' last columns


@dataclass(frozen=True)
class Judged:
    """What was said of N cells: labels and decisions (N,), probabilities (N, K) as they came from
    the network and calibrated."""

    labels: Ints
    decisions: Ints
    uncalibrated: NDArray[np.floating[Any]]
    calibrated: NDArray[np.floating[Any]]

    @property
    def right(self) -> NDArray[np.bool_]:
        return np.asarray(self.labels == self.decisions)

    @property
    def num_classes(self) -> int:
        return int(self.calibrated.shape[1])

    @property
    def counts(self) -> Floats:
        """(K, K) cells by true class (row) and decision."""
        size = self.num_classes
        flat = np.bincount(self.labels * size + self.decisions, minlength=size * size)
        return flat.reshape(size, size).astype(np.float64)


def score_intervals(judged: Judged, smears: Ints | None) -> dict[str, dict[str, float]]:
    """{score: {value, low, high}} of accuracy, balanced_accuracy, macro_f1, mcc, ece, brier and
    ece_uncalibrated.

    Args:
        smears: (N,) the smear of each cell, 0, 1, ..., or None to take cells as independent, as
            the cells of a single smear are taken too.
    """
    values = {name: float(score) for name, score in _scores(_sums(judged)).items()}
    smears = several(smears)
    share = tail(number_of(smears))
    limits = limits_of_counts(judged.counts)
    limits["brier"] = limits_of_losses(
        judged,
        lambda labels: calibration.squared_errors(judged.calibrated, labels),
        limits["accuracy"],
    )
    spared = _spared_losses(judged.right)
    sums = replicate_sums(_statistics(judged), judged.labels, smears)
    result = {}
    for name, replicates in _scores(sums).items():
        value = values[name]
        low, high = np.quantile(replicates, [share, 1 - share])
        if name in COUNTED:
            low, high = min(low, limits[name][0]), max(high, limits[name][1])
            low = max(low, -1.0 if name == "mcc" else 0.0)  # rounding may go beyond
            high = 1 - (1 - value) * spared if high >= 1 else high
        elif name == "brier":
            low, high = min(low, limits[name][0]), max(high, limits[name][1])
        else:
            low, high = _ece_limits(judged, name, sums, smears)
        low, high = min(low, value), max(high, value)  # but for their last digits they are
        result[name] = {"value": value, "low": float(low), "high": float(high)}
    return result


def limits_of_counts(counts: Floats) -> dict[str, Limits]:
    """{score: (low, high)} of the COUNTED scores for independent cells, from counts (K, K).

    Accuracy: Clopper and Pearson's. The others combine the classes' Wilson intervals, moving one
    class at a time to its limit and adding the squares of what the score loses or gains by it
    (MOVER: Zou and Donner 2008, doi:10.1002/sim.3095; for balanced accuracy exactly theirs). Wrong
    decisions that are added or taken away are spread as the class's own, or evenly if it has none.
    """
    right, sizes = np.diag(counts), counts.sum(axis=1)
    present = np.flatnonzero(sizes)
    values = confusion_scores(counts)
    below, above = wilson(right[present], sizes[present])
    limits: dict[str, Limits] = {"accuracy": clopper_pearson(right.sum(), sizes.sum())}
    loss, gain = (dict.fromkeys(COUNTED, 0.0) for _ in range(2))
    for position, k in enumerate(present):
        for side, recall in ((loss, below[position]), (gain, above[position])):
            moved = confusion_scores(_with_recall(counts, int(k), float(recall)))
            for name in COUNTED:
                side[name] += float(moved[name] - values[name]) ** 2
    for name in COUNTED[1:]:
        value = float(values[name])
        limits[name] = (value - np.sqrt(loss[name]), min(value + np.sqrt(gain[name]), 1.0))
    return limits


def confusion_scores(counts: Floats) -> dict[str, Floats]:
    """The COUNTED scores of confusion counts (..., K, K), each (...,).

    Means are over classes with cells. MCC is the multi-class one (Gorodkin 2004), 0 where a
    denominator is 0, as in scikit-learn.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    true, decided = counts.sum(axis=-1), counts.sum(axis=-2)
    total, present = true.sum(axis=-1), true > 0
    num_present = present.sum(axis=-1)
    recall = np.divide(right, true, out=np.zeros_like(true), where=present)
    f1 = np.divide(2 * right, true + decided, out=np.zeros_like(true), where=present)
    covariance = right.sum(axis=-1) * total - (true * decided).sum(axis=-1)
    spread = (total**2 - (true**2).sum(axis=-1)) * (total**2 - (decided**2).sum(axis=-1))
    mcc = np.divide(
        covariance, np.sqrt(np.maximum(spread, 0)), out=np.zeros_like(total), where=spread > 0
    )
    return {
        "accuracy": right.sum(axis=-1) / total,
        "balanced_accuracy": recall.sum(axis=-1) / num_present,
        "macro_f1": f1.sum(axis=-1) / num_present,
        "mcc": mcc,
    }


def _with_recall(counts: Floats, k: int, recall: float) -> Floats:
    """The counts with class k at another recall, its mistakes spread as before."""
    moved = counts.copy()
    size, wrong = counts[k].sum(), counts[k].copy()
    wrong[k] = 0
    others = np.arange(len(counts)) != k
    shares = wrong / wrong.sum() if wrong.sum() else others / others.sum()
    moved[k] = shares * (1 - recall) * size
    moved[k, k] = recall * size
    return moved


def _statistics(judged: Judged) -> Floats:
    """(N, F): what each cell adds to the sums that all scores follow from."""
    size, rows = judged.num_classes, np.arange(len(judged.labels))
    confusions = np.zeros((len(rows), size * size))
    confusions[rows, judged.labels * size + judged.decisions] = 1
    squares = calibration.squared_errors(judged.calibrated, judged.labels)
    gaps = [
        calibration.gaps(calibration.confidences(p, judged.decisions), judged.right)
        for p in (judged.calibrated, judged.uncalibrated)
    ]
    return np.column_stack([confusions, squares, *gaps])


def _sums(judged: Judged) -> Floats:
    return np.asarray(_statistics(judged).sum(axis=0))


def _scores(sums: Floats) -> dict[str, Floats]:
    """All scores of sums (..., F) of `_statistics`."""
    bins = calibration.NUM_BINS
    size = int(np.sqrt(sums.shape[-1] - 1 - 2 * bins))
    confusions, rest = sums[..., : size * size], sums[..., size * size :]
    counts = confusions.reshape(*sums.shape[:-1], size, size)
    total = confusions.sum(axis=-1)
    return {
        **confusion_scores(counts),
        "ece": np.abs(rest[..., 1 : 1 + bins]).sum(axis=-1) / total,
        "brier": rest[..., 0] / total,
        "ece_uncalibrated": np.abs(rest[..., 1 + bins :]).sum(axis=-1) / total,
    }


def _spared_losses(right: NDArray[np.bool_]) -> float:
    """The least share of its mistakes that a model may make in truth, by Clopper and Pearson.

    Where few mistakes were seen, many replicates have none at all, but a score of 1 is excluded:
    this then bounds it. With smears some mistake is always in a replicate, be it next to nothing.
    """
    wrong = int((~right).sum())
    low, _ = clopper_pearson(wrong, len(right))
    return float(low) * len(right) / wrong if wrong else 0.0


def limits_of_losses(judged: Judged, losses: Callable[[Ints], Floats], accuracy: Limits) -> Limits:
    """A mean loss, were the accuracy at either of its limits and a mistake as bad as those seen;
    without any, as each cell's would be if the next likeliest class were the true one.

    Args:
        losses: of labels (N,), what each cell's probabilities then cost, (N,).
    """
    right, seen = judged.right, losses(judged.labels)
    wrong = seen[~right]
    if right.all():
        wrong = losses(np.argsort(judged.calibrated, axis=1)[:, -2])
    good = seen[right].mean() if right.any() else 0.0
    low, high = (float(share * good + (1 - share) * wrong.mean()) for share in reversed(accuracy))
    return low, high


def _ece_limits(judged: Judged, name: str, sums: Floats, smears: Ints | None) -> Limits:
    """The calibration error's, with the design effect that the replicates `sums` show."""
    probabilities = judged.calibrated if name == "ece" else judged.uncalibrated
    bins = bins_of(calibration.confidences(probabilities, judged.decisions), judged.right)
    if smears is None:
        return ece_interval(bins)
    size, num_bins = judged.num_classes, calibration.NUM_BINS
    first = size * size + 1 + CALIBRATION.index(name) * num_bins
    gaps = sums[:, first : first + num_bins] / sums[:, : size * size].sum(axis=1, keepdims=True)
    widened = stats.norm.ppf(tail(number_of(smears))) / stats.norm.ppf(tail(0))
    return ece_interval(bins, design_effect(bins, gaps, float(widened)))
