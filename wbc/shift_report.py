"""Shift of every evaluation set as one table, and a sentence a set for the report's banner."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from wbc.calibration import confidences
from wbc.cells import CLASSES
from wbc.curves import refused
from wbc.evaluation import Evaluation
from wbc.intervals import Judged, score_intervals
from wbc.metrics import value
from wbc.picture_statistics import NAMES, STATISTICS, compare_statistics, picture_statistics
from wbc.pixels import PixelStore
from wbc.reference import Numbers, Reference, distances
from wbc.reference_cells import some, training_cells
from wbc.shift import measure
from wbc.smears import smears_of
from wbc.wording import percent

MAX_PICTURES: Final = 400  # squares of a set whose statistics are taken, 5 ms each
NOTABLE: Final = 1.0  # standard deviations; a picture statistic that is named in the banner
NOTABLE_SURPLUS: Final = 0.05  # confidence minus hit rate, either way, that the banner names
NUM_NAMED: Final = 3  # of these, at most so many


@dataclass(frozen=True)
class Fall:
    """Balanced accuracy of the reference set minus that of a set, with its 95 % interval.

    Over the `classes` that both sets have; `before` and `after` are those of the two sets.
    """

    reference: str
    classes: tuple[str, ...]
    before: float
    after: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Study:
    """`table`: one row a set (shift.csv); `statistics`: one row a set and statistic.

    `distances`: {set: (N,)}, in the order of the set's cells; `banners`: {external set: sentence}.
    """

    table: pd.DataFrame
    statistics: pd.DataFrame
    distances: dict[str, Numbers]
    banners: dict[str, str]


def study(
    store: PixelStore,
    reference: Reference,
    evaluation: Evaluation,
    external: Sequence[str],
) -> Study:
    """Measure every set of `evaluation` against training.

    Args:
        reference: the model's own.
        external: names of the sets that no training laboratory made.
    """
    sets = list(evaluation.outputs)
    own = reference_set([name for name in sets if name not in external])
    pictures = _pictures(training_cells(store.part("train")))
    rows, compared, far, banners = [], [], {}, {}
    for name in sets:
        judged = evaluation.judged[name]
        far[name] = distances(reference, evaluation.outputs[name].features)
        distance = measure(reference, far[name], ~judged.right)
        fall = None if name in ("val", own) else fall_of(store, evaluation, own, name)
        statistics = compare_statistics(pictures, _pictures(store.part(name)))
        compared.append(statistics.assign(set=name)[["set", *statistics.columns]])
        row = {"set": name, "external": name in external, **dataclasses.asdict(distance)}
        row |= _fall_columns(fall) | calibration(judged, evaluation.metrics[name])
        row |= refused(
            confidences(judged.calibrated, judged.decisions), judged.right, judged.labels
        )
        row |= dict(zip(NAMES, statistics["difference"], strict=True))
        rows.append(row)
        if name in external:
            banners[name] = banner(row, statistics)
    table = pd.DataFrame(rows)
    return Study(table, pd.concat(compared, ignore_index=True), far, banners)


def reference_set(internal: Sequence[str]) -> str:
    """What an external set's scores are held against: the first internal test, else val."""
    tests = [name for name in internal if name != "val"]
    return tests[0] if tests else "val"


def fall_of(store: PixelStore, evaluation: Evaluation, reference: str, other: str) -> Fall | None:
    """How far balanced accuracy falls from one set to another, over the classes of both; None
    where they share no class.

    The interval of a difference between two independent sets follows from theirs (MOVER: Zou and
    Donner 2008, doi:10.1002/sim.3095), so it holds where a set has no mistakes and where smears
    were resampled.
    """
    present = [set(np.unique(evaluation.judged[name].labels)) for name in (reference, other)]
    shared = sorted(present[0] & present[1])
    if not shared:
        return None
    first, second = (
        _balanced_accuracy(evaluation.judged[name], store.part(name), shared)
        for name in (reference, other)
    )
    fall = first["value"] - second["value"]
    low = math.hypot(first["value"] - first["low"], second["high"] - second["value"])
    high = math.hypot(first["high"] - first["value"], second["value"] - second["low"])
    classes = tuple(CLASSES[k] for k in shared)
    return Fall(reference, classes, first["value"], second["value"], fall, fall - low, fall + high)


def _balanced_accuracy(
    judged: Judged, cells: PixelStore, classes: Sequence[int]
) -> dict[str, float]:
    """{value, low, high} over some classes, as metrics.json has it over all that are there."""
    kept = np.isin(judged.labels, classes)
    smears = smears_of(cells.table[kept])
    arrays = dataclasses.astuple(judged)
    return score_intervals(Judged(*(array[kept] for array in arrays)), smears)["balanced_accuracy"]


def calibration(judged: Judged, scores: Mapping[str, Any]) -> dict[str, float]:
    """What the probabilities are worth in one set.

    `confidence` is the mean probability of the decisions, as in ECE, `hit_rate` how many of them
    are right (the accuracy), `overconfidence` the difference; ece before and after the temperature.
    """
    confidence = float(confidences(judged.calibrated, judged.decisions).mean())
    hit_rate = float(judged.right.mean())
    return {
        "confidence": confidence,
        "hit_rate": hit_rate,
        "overconfidence": confidence - hit_rate,
        "ece": value(scores["ece"]),
        "ece_uncalibrated": value(scores["ece_uncalibrated"]),
    }


def banner(row: Mapping[str, Any], statistics: pd.DataFrame) -> str:
    """The set in words: where it lies, what that costs, what looks different."""
    words = {"in domain": "lies in domain", "shifted": "is SHIFTED"}
    words["out of domain"] = "is OUT OF DOMAIN"
    parts = [
        f"{row['set']} {words[row['verdict']]}: {percent(row['share_far'], 0)} of its"
        f" {row['num_cells']:,} cells lie farther from the training cells than 99 % of the"
        " validation cells do.",
        _fall_words(row),
        _calibration_words(row),
    ]
    named = notable(statistics)
    if named:
        parts.append(f"Its pictures differ from the training cells' in {', '.join(named)}.")
    return " ".join(part for part in parts if part)


def notable(statistics: pd.DataFrame) -> list[str]:
    """The statistics that differ most, in words: `nucleus: optical density (paler, 4.2 SD)`."""
    sizes = statistics["difference"].abs()
    order = sizes[sizes >= NOTABLE].sort_values(ascending=False, kind="stable").index
    first = statistics.loc[order].head(NUM_NAMED)
    described = {statistic.name: statistic for statistic in STATISTICS}
    return [
        f"{described[name].title}"
        f" ({described[name].low if difference < 0 else described[name].high},"
        f" {abs(difference):.1f} SD)"
        for name, difference in zip(first["statistic"], first["difference"], strict=True)
    ]


def _fall_words(row: Mapping[str, Any]) -> str:
    if row["fall"] is None:
        return ""
    interval = f"({row['fall_low']:.3f} to {row['fall_high']:.3f})"
    change = f"{row['before']:.3f} on {row['reference']} and {row['after']:.3f} here"
    if row["fall_low"] > 0:
        return f"Balanced accuracy falls by {row['fall']:.3f} {interval}: {change}."
    if row["fall_high"] < 0:
        return f"Balanced accuracy is higher here, by {-row['fall']:.3f} {interval}: {change}."
    return f"A fall of balanced accuracy is not shown, {row['fall']:.3f} {interval}: {change}."


def _calibration_words(row: Mapping[str, Any]) -> str:
    surplus = row["overconfidence"]
    if abs(surplus) < NOTABLE_SURPLUS:
        return ""
    return (
        f"Its probabilities are {'too high' if surplus > 0 else 'too low'}:"
        f" {percent(row['confidence'], 0)} sure on average, right in {percent(row['hit_rate'], 0)}."
    )


def _fall_columns(fall: Fall | None) -> dict[str, Any]:
    if fall is None:
        return dict.fromkeys(("reference", "before", "after", "fall", "fall_low", "fall_high"))
    return {
        "reference": fall.reference,
        "before": fall.before,
        "after": fall.after,
        "fall": fall.value,
        "fall_low": fall.low,
        "fall_high": fall.high,
    }


def _pictures(cells: PixelStore) -> pd.DataFrame:
    batches = some(cells, MAX_PICTURES).batches(64)
    return picture_statistics(square for batch in batches for square in batch)
