"""From what the network says of a batch to rows of the output."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wbc.calibration import confidences
from wbc.metrics import NUM_DECIMALS
from wbc.model import Card, Classifier, Outputs
from wbc.predicting.preparing import Ready
from wbc.reference import Reference, distances, is_far

FLAGS: Final = ("uncertain", "out_of_domain", "unlocated", "unreadable")

PLACE: Final = ("cell", "x", "y", "width", "height", "cut")  # of a cell in its field

Row = dict[str, Any]  # as `columns` names them; None where nothing can be said


def columns(classes: Sequence[str], fields: bool = False) -> list[str]:
    """fields: with the places of cells in whole fields."""
    places = PLACE if fields else ()
    shares = [f"p_{name}" for name in classes]
    return ["path", *places, "class", *shares, "margin", "distance", *FLAGS, "error"]


def judge(
    classifier: Classifier,
    batch: Sequence[Ready],
    uncertain_below: float,
    reference: Reference | None,
    fields: bool = False,
) -> list[Row]:
    """A row for each file, in order; the decision is made as wbc.serving makes it.

    uncertain_below: calibrated probability of the class decided on, below which it is uncertain.
    reference: tells which cells are out of domain; None leaves that open.
    fields: `batch` are cells of fields, and their rows say where they lie.

    Raises:
        UserError: the model's weights give no numbers.
    """
    shown = [ready for ready in batch if ready.pixels is not None]
    judged: list[Row] = []
    if shown:
        outputs = classifier.outputs(
            np.stack([ready.pixels for ready in shown if ready.pixels is not None])
        )
        logits = outputs.logits
        decisions = classifier.decide(classifier.probabilities_of(logits, calibrated=False))
        shares = classifier.probabilities_of(logits)
        judged = _answers(shares, decisions, classifier.card, uncertain_below)
        if reference is not None:
            judged = [a | b for a, b in zip(judged, _domain(reference, outputs), strict=True)]
    answers = iter(judged)
    names = columns(classifier.card["classes"], fields)
    empty = _empty(names, has_reference=reference is not None)
    return [_row(ready, empty, answers) for ready in batch]


def even_shares(shares: NDArray[np.floating[Any]], card: Card) -> NDArray[np.float64]:
    """Probabilities (N, K) that the decision compares: with logit adjustment as if every class were
    equally frequent, p over prior scaled to sum 1; else p itself."""
    even = shares.astype(np.float64)
    if card["decision"] == "logit_adjustment":
        even = even / np.exp(np.array(card["log_prior"]))
    return np.asarray(even / even.sum(axis=1, keepdims=True))


def counted(rows: Iterable[Row]) -> Counter[str]:
    """How many of each class, and of each flag."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(flag for flag in FLAGS if row[flag])
        if row["class"] is not None:
            counts[row["class"]] += 1
    return counts


def _answers(
    shares: NDArray[np.float32],
    decisions: NDArray[np.int64],
    card: Card,
    uncertain_below: float,
) -> list[Row]:
    ordered = np.sort(even_shares(shares, card), axis=1)
    margins = np.round(ordered[:, -1] - ordered[:, -2], NUM_DECIMALS)
    rounded = np.round(shares.astype(np.float64), NUM_DECIMALS)
    unsure = confidences(rounded, decisions) < uncertain_below
    names = [f"p_{name}" for name in card["classes"]]
    return [
        {
            "class": card["classes"][int(decision)],
            **dict(zip(names, map(float, share), strict=True)),
            "margin": float(margin),
            "uncertain": bool(flag),
        }
        for share, decision, margin, flag in zip(rounded, decisions, margins, unsure, strict=True)
    ]


def _domain(reference: Reference, outputs: Outputs) -> list[Row]:
    distance = distances(reference, outputs.features)
    return [
        {"distance": round(float(far_away), NUM_DECIMALS), "out_of_domain": bool(is_one)}
        for far_away, is_one in zip(distance, is_far(reference, distance), strict=True)
    ]


def _empty(names: Sequence[str], has_reference: bool) -> Row:
    """A row of which nothing is flagged; `out_of_domain` is open where nothing can tell."""
    row: Row = dict.fromkeys(names)
    row |= dict.fromkeys(FLAGS, False)
    return row | {"out_of_domain": False if has_reference else None}


def _row(ready: Ready, empty: Row, answers: Iterator[Row]) -> Row:
    row = empty | {"path": ready.name, "error": ready.problem}
    if ready.problem:
        return row | {"unreadable": True}
    if ready.field:
        row["cell"] = ready.field.number
        row |= asdict(ready.field.place) if ready.field.place else {}
    if ready.pixels is None:  # a field without a leukocyte
        return row | {"unlocated": True}
    return row | next(answers) | {"unlocated": not ready.located}
