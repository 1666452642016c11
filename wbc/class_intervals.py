"""95 % intervals of single classes' scores, of the areas under curves and of the log loss.

They rest on the same draws of smears, or cells, as those of `wbc.intervals`. A bootstrap does not
know what it has never seen: six cells that are all found would be found forever. So each interval
is at least as wide as a published one for independent cells that is defined there too. How often
they hold the truth is measured by `python -m benchmarks.coverage --of classes`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import gamma, norm

from wbc import calibration
from wbc.binomial import LEVEL, clopper_pearson, wilson
from wbc.curves import judged_classes
from wbc.intervals import Judged, Limits, limits_of_losses
from wbc.ranking import Ranking, areas, ranking, risk_areas, risk_costs
from wbc.resampling import replicate_sums, replicate_weights, tail
from wbc.smears import number_of, several

_AT_ONCE: Final = 300_000  # weights ranked at a time, so that they stay in a processor's cache
_ZERO: Final = 1e-12  # what rounding may leave of a limit at 0, or of one at 1

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Interval = dict[str, float]


def class_intervals(
    values: Mapping[str, Any], judged: Judged, smears: Ints | None, classes: Sequence[str]
) -> dict[str, Any]:
    """The values with their intervals: {value, low, high} in place of each number.

    Args:
        values: {precision, f1, auroc, average_precision: {class: number}, log_loss, aurc: number}.
        smears: as in `intervals.score_intervals`.

    Returns:
        `values`, and auroc_macro and average_precision_macro, the means over the classes that have
        areas, if any has.
    """
    smears = several(smears)
    share = tail(number_of(smears))
    drawn = {**_of_counts(judged, smears), **_of_rankings(judged, smears)}
    limits = _limits(values, judged, classes)
    result: dict[str, Any] = {}
    for name in ("precision", "f1", "auroc", "average_precision"):
        result[name] = {
            label: _interval(value, drawn[name][:, k], limits[name][label], share)
            for label, value in values[name].items()
            for k in [classes.index(label)]
        }
    for name in ("auroc", "average_precision"):
        if values[name]:
            mean = float(np.mean(list(values[name].values())))
            replicates = np.nanmean(drawn[name][:, _present(values[name], classes)], axis=1)
            around = _mover(values[name], limits[name])
            result[f"{name}_macro"] = _interval(mean, replicates, around, share)
    result["log_loss"] = _interval(
        values["log_loss"], drawn["log_loss"], limits["log_loss"], share, most=np.inf
    )
    result["aurc"] = _interval(values["aurc"], drawn["aurc"], limits["aurc"], share)
    return result


def log_losses(probabilities: NDArray[np.floating[Any]], labels: Ints) -> Floats:
    """(N,) -log p of the label, with p clipped at the machine epsilon of its type as in
    scikit-learn's log_loss, which is their mean."""
    least = np.finfo(probabilities.dtype).eps
    said = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(said, least, 1 - least).astype(np.float64)))


def f1_limits(num_right: float, num_true: float, num_decided: float) -> Limits:
    """The interval of F1 from F* = F1 / (2 - F1), the share of right ones among the cells that
    are of the class or were said to be (Hand, Christen and Kirielle 2021,
    doi:10.1007/s10994-021-05964-1), which has Clopper and Pearson's."""
    low, high = clopper_pearson(num_right, num_true + num_decided - num_right)
    return float(2 * low / (1 + low)), float(2 * high / (1 + high))


def auroc_limits(value: float, num_own: int, num_rest: int) -> Limits:
    """The areas from which an estimate `value` is at most 1.96 standard errors away.

    The standard error is Hanley and McNeil's (1982, doi:10.1148/radiology.143.1.7063747) with the
    mean size in place of both groups', at the limit and not at the estimate: method 5 of Newcombe
    2006 (doi:10.1002/sim.2324). It needs no variance of what was seen, so it is defined at 1.
    """
    return _least_area(value, num_own, num_rest), 1 - _least_area(1 - value, num_own, num_rest)


def _least_area(value: float, num_own: int, num_rest: int) -> float:
    z, size = norm.ppf((1 + LEVEL) / 2), (num_own + num_rest) / 2 - 1

    def above(area: float) -> float:
        alike = 1 + size * ((1 - area) / (2 - area) + area / (1 + area))
        error = np.sqrt(area * (1 - area) * alike / (num_own * num_rest))
        return float(area + z * error - value)

    # Without the last bit, since an area of 1 has no error and would be found for an estimate of 1.
    return float(brentq(above, 0.0, value * (1 - 1e-9))) if value > 0 else 0.0


def average_precision_limits(value: float, num_own: int) -> Limits:
    """As if it were a share of the cells to be found (Boyd, Eng and Page 2013, the binomial
    interval; doi:10.1007/978-3-642-40994-3_29), in Wilson's form, which is defined at 1."""
    low, high = wilson(np.array([value * num_own]), np.array([float(num_own)]))
    return float(low[0]), float(high[0])


def aurc_limits(costs: Floats, right: NDArray[np.bool_]) -> Limits:
    """From what each cell adds to the area if it is named wrongly, `costs` (N,): a sum of rare
    mistakes that weigh differently, with the interval of such sums from the gamma distribution.

    Fay and Feuer 1997 (doi:10.1002/(SICI)1097-0258(19970415)16:7<791::AID-SIM500>3.0.CO;2-#); above
    with one more mistake of mean cost and not of the largest (Tiwari, Clegg and Zou 2006,
    doi:10.1177/0962280206070621). Without any mistake that makes it about 5 / N.
    """
    seen = costs[~right]
    outside, low = (1 - LEVEL) / 2, 0.0
    if len(seen):
        low = _gamma_limit(seen.sum(), (seen**2).sum(), outside)
    more = seen.sum() + costs.mean(), (seen**2).sum() + (costs**2).mean()
    return low, min(_gamma_limit(*more, 1 - outside), 1.0)


def _gamma_limit(mean: float, variance: float, share: float) -> float:
    return float(gamma.ppf(share, mean**2 / variance, scale=variance / mean))


def _limits(values: Mapping[str, Any], judged: Judged, classes: Sequence[str]) -> dict[str, Any]:
    """The least widths: (low, high) of each score, as if cells were independent."""
    counts = judged.counts
    right, true, decided = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    sizes = {label: int(true[k]) for k, label in enumerate(classes)}
    below, above = clopper_pearson(right, decided)
    total = len(judged.labels)
    accuracy = clopper_pearson(right.sum(), total)
    return {
        "precision": {label: (below[k], above[k]) for k, label in enumerate(classes)},
        "f1": {
            label: f1_limits(right[k], true[k], decided[k])
            for k, label in enumerate(classes)
            if true[k]
        },
        "auroc": {
            label: auroc_limits(value, sizes[label], total - sizes[label])
            for label, value in values["auroc"].items()
        },
        "average_precision": {
            label: average_precision_limits(value, sizes[label])
            for label, value in values["average_precision"].items()
        },
        "log_loss": limits_of_losses(
            judged, lambda labels: log_losses(judged.calibrated, labels), accuracy
        ),
        "aurc": aurc_limits(risk_costs(by_confidence(judged)), judged.right),
    }


def _interval(
    value: float, replicates: Floats, limits: Limits, share: float, most: float = 1.0
) -> Interval:
    """The wider of replicates' percentiles and limits on either side.

    Replicates without a single mistake, or without a single right answer, say 1 or 0; where either
    was seen the limits alone tell how near it may come. A score is undefined (NaN) in replicates
    that lack the cells it is a share of.
    """
    defined = replicates[~np.isnan(replicates)]
    low, high = limits
    if len(defined):
        least, greatest = np.quantile(defined, [share, 1 - share])
        low = min(low, least) if least > _ZERO else low
        high = max(high, greatest) if greatest < most - _ZERO else high
    return {"value": value, "low": float(min(low, value)), "high": float(max(high, value))}


def _mover(values: Mapping[str, float], limits: Mapping[str, Limits]) -> Limits:
    """The limits of a mean from those of its parts, whose distances are added in squares (Zou and
    Donner 2008, doi:10.1002/sim.3095)."""
    parts = np.array([values[label] for label in values])
    low, high = np.array([limits[label] for label in values]).T
    down, up = (np.sqrt((gap**2).sum()) / len(parts) for gap in (parts - low, high - parts))
    mean = parts.mean()
    return float(max(mean - down, 0.0)), float(min(mean + up, 1.0))


def _of_counts(judged: Judged, smears: Ints | None) -> dict[str, Floats]:
    """Replicates of precision and F1, (R, K), and of the log loss, (R,)."""
    size, rows = judged.num_classes, np.arange(len(judged.labels))
    cells = np.zeros((len(rows), size * size + 1))
    cells[rows, judged.labels * size + judged.decisions] = 1
    cells[:, -1] = log_losses(judged.calibrated, judged.labels)
    sums = replicate_sums(cells, judged.labels, smears)
    counts = sums[:, :-1].reshape(-1, size, size)
    right = np.diagonal(counts, axis1=1, axis2=2)
    true, decided = counts.sum(axis=2), counts.sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, and meant
        precision, f1 = right / decided, 2 * right / (true + decided)
    return {"precision": precision, "f1": f1, "log_loss": sums[:, -1] / true.sum(axis=1)}


def _of_rankings(judged: Judged, smears: Ints | None) -> dict[str, Floats]:
    """Replicates of auroc and average_precision, (R, K), NaN without a curve, and aurc, (R,)."""
    judged_ones = judged_classes(judged.labels, judged.num_classes)
    rankings = {k: ranking(judged.calibrated[:, k]) for k in judged_ones}
    surest_first = by_confidence(judged)
    found: dict[str, list[Floats]] = {"auroc": [], "average_precision": [], "aurc": []}
    for weights in _few_at_once(judged.labels, smears):
        both = np.full((2, len(weights), judged.num_classes), np.nan)
        for k, ranked in rankings.items():
            both[:, :, k] = areas(ranked, judged.labels == k, weights)
        found["auroc"].append(both[0])
        found["average_precision"].append(both[1])
        found["aurc"].append(risk_areas(surest_first, judged.right, weights))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def by_confidence(judged: Judged) -> Ranking:
    return ranking(calibration.confidences(judged.calibrated, judged.decisions))


def _few_at_once(labels: Ints, smears: Ints | None) -> Iterator[Floats]:
    """Chunks (R, N) of the draws: the weight of every cell."""
    step = max(1, _AT_ONCE // len(labels))
    for weights in replicate_weights(labels, smears):
        for first in range(0, len(weights), step):
            some = weights[first : first + step]
            yield some if smears is None else some[:, smears]


def _present(values: Mapping[str, float], classes: Sequence[str]) -> list[int]:
    return [classes.index(label) for label in values]
