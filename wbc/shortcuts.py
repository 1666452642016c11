"""Does a network look at the cell, or at how its picture was taken?

Some cells of every class are judged three times: as they are, with the cell blanked out and with
the background blanked out. Whoever still knows the class when the cell is gone has learned the
laboratory, the microscope or the day: Raabin's basophils come from another acquisition.

wbc.blanking says how the two are blanked out.

When the background decides. Recall alone cannot say: a network that calls every blank picture
basophil finds all basophils. Informedness can (Youden 1950): the share of a class's blank pictures
that are called this class, minus the share of all others' that are; 0 for any constant or random
answer, 1 for a sure one. Its interval is Newcombe's (1998, method 10) for a difference of two
proportions, which is right for small counts and for shares of 0 and 1, where a bootstrap would have
no width. The background decides where the whole interval lies above DECIDES, and hints where it
lies above HINTS. Both are far from 0, because a crop honestly tells the size of its cell by the
scale of the red cells around (PBC's monocytes reach 0.3 in this way).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

from wbc.binomial import clopper_pearson, wilson
from wbc.blanking import blanked, parts_of
from wbc.cells import CLASSES
from wbc.figures import set_title
from wbc.metrics import NUM_DECIMALS, class_indices
from wbc.model import Classifier
from wbc.pixels import Pixels, PixelStore
from wbc.wording import percent

HINTS, DECIDES = 0.2, 0.5  # informedness, of 1
MIN_BACKGROUND: Final = 0.1  # of the picture; with less there is nothing to check
SEED: Final = 1  # of the draw
VIEWS: Final = ("plain", "cell_blanked", "background_blanked")


@dataclass(frozen=True)
class ShortcutCheck:
    """What came of one evaluation set.

    `table`: one row a class, see `judge`. `background_share`: mean share of a
    picture that is left when the cell is blanked. `num_not_found`: pictures in which no cell was
    found, so that one was assumed in the middle. `examples` (k, 3, S, S, 3): one cell of each of
    the k classes, in the three VIEWS.
    """

    evaluation_set: str
    table: pd.DataFrame
    background_share: float
    num_not_found: int
    examples: Pixels


def set_to_check(names: Sequence[str]) -> str:
    """The first test set, else validation: the cells of the training's source, not trained on."""
    return next(name for name in ("test", "test_a", "test_b", "val") if name in names)


def check(
    classifier: Classifier,
    part: PixelStore,
    predictions: pd.DataFrame,
    batch_size: int = 64,
    num_per_class: int = 100,
) -> ShortcutCheck:
    """Judge at most `num_per_class` cells of each class of one evaluation set without cell, then
    without background.

    `predictions` are the classifier's rows of predictions.csv for this set, in the part's order.

    Raises:
        ValueError: the rows are not the part's.
    """
    if list(predictions["path"]) != list(part.table["path"]):
        raise ValueError("predictions and pixels are not of the same cells")
    drawn = draw(part.labels, num_per_class)
    squares = part.read(drawn)
    crop = str(part.settings["crop"])
    context = float(part.settings["context"]) if crop != "none" else None
    # Threads: what takes the time is numpy's and scipy's, which let go of the interpreter.
    found = Parallel(n_jobs=-1, prefer="threads")(
        delayed(parts_of)(square, context) for square in squares
    )
    fill = np.median([one.glass for one in found], axis=0)
    views = [squares, *blanked(squares, found, fill)]
    plain = class_indices(list(predictions["predicted"]))[drawn]
    others = [_decide(classifier, view, batch_size) for view in views[1:]]
    labels = part.labels[drawn]
    first = [int(np.flatnonzero(labels == k)[0]) for k in np.unique(labels)]
    return ShortcutCheck(
        str(part.table["split"].iloc[0]),
        judge(labels, dict(zip(VIEWS, (plain, *others), strict=True))),
        float(np.mean([1 - one.disc.mean() for one in found])),
        sum(not one.found for one in found),
        np.stack([view[first] for view in views], axis=1),
    )


def draw(labels: NDArray[np.int64], num_per_class: int) -> NDArray[np.int64]:
    """Positions of at most so many cells of each class, in order, the same every time."""
    chosen = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        chosen.append(np.random.default_rng([SEED, int(label)]).permutation(places)[:num_per_class])
    return np.sort(np.concatenate(chosen))


def report_table(results: Sequence[ShortcutCheck]) -> pd.DataFrame:
    """shortcuts.csv: the tables below each other with their `set`; `in_words` holds, from the
    first row of a set on, the sentences of `words`, and "" where there are no more."""
    tables = []
    for result in results:
        table, sentences = result.table.copy(), words(result)
        table.insert(0, "set", result.evaluation_set)
        last = len(table) - 1
        sentences[last:] = [" ".join(sentences[last:])]
        table["in_words"] = sentences + [""] * (len(table) - len(sentences))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def words(result: ShortcutCheck) -> list[str]:
    """What was found, in sentences for a reader: the mean recalls, then every warning."""
    rows = result.table
    mean = rows[list(VIEWS)].mean()
    first = (
        f"{set_title(result.evaluation_set)}, {rows['num_cells'].sum():,} cells, at most"
        f" {rows['num_cells'].max()} a class: mean recall {percent(mean['plain'])} as they are,"
        f" {percent(mean['background_blanked'])} with the background blanked out and"
        f" {percent(mean['cell_blanked'])} with the cell blanked out, where a constant answer has"
        f" {percent(1 / len(rows))}."
    )
    if len(rows) == 1:
        first += (
            " All cells are of one class, so whether the background alone tells it cannot be told."
        )
    elif (rows["background"] == "no").all():
        first += " No class is told by its background alone."
    if result.background_share < MIN_BACKGROUND:
        first += (
            f" Yet only {percent(result.background_share, 0)} of a picture is background, so that"
            " this check could hardly find anything; a larger preprocess.context shows more."
        )
    if result.num_not_found:
        first += (
            f" In {result.num_not_found:,} of the pictures no cell was found, and it was taken to"
            " lie in the middle."
        )
    found = rows[rows["background"] != "no"].sort_values("informedness", ascending=False)
    return [first, *(_warning(row) for row in found.to_dict("records"))]


def _warning(row: dict[Any, Any]) -> str:
    figures = (
        f"with the cell blanked out {percent(row['cell_blanked'], 0)} of {row['class']}s are still"
        f" called {row['class']}, and {percent(row['false_alarms'], 0)} of the other cells are"
        f" (informedness {row['informedness']:.2f}, 95 % interval {row['informedness_low']:.2f} to"
        f" {row['informedness_high']:.2f})."
    )
    if row["background"] == "decides":
        return (
            f"Warning: the background alone decides about {row['class']}: {figures} The score of"
            " this class may come from how its pictures were taken; believe only what another"
            f" laboratory's {row['class']}s give."
        )
    return (
        f"Note: the background hints at {row['class']}: {figures} The scale of the red cells, which"
        " tells a cell's size, can do that, and so can another acquisition."
    )


def judge(
    labels: NDArray[np.int64],
    decisions: dict[str, NDArray[np.int64]],
    classes: Sequence[str] = CLASSES,
) -> pd.DataFrame:
    """One row a class present among `labels` (N,), from the decisions (N,) of each view.

    Columns: class, num_cells, for each of VIEWS `<view>`, `<view>_low`, `<view>_high` (recall with
    its Clopper-Pearson interval, 95 %), false_alarms (share of the other classes' cells that are
    called this class with the cell blanked out), informedness, informedness_low,
    informedness_high, background (decides | hints | no) and warning (whether it decides).
    """
    rows: list[dict[str, Any]] = []
    for label in np.unique(labels):
        own = labels == label
        row: dict[str, Any] = {"class": classes[label], "num_cells": int(own.sum())}
        for view, decided in decisions.items():
            row |= _share(view, decided[own] == label)
        rows.append(row | _informedness(own, decisions["cell_blanked"] == label))
    return pd.DataFrame(rows)


def _share(name: str, hits: NDArray[np.bool_]) -> dict[str, float]:
    low, high = clopper_pearson(int(hits.sum()), hits.size)
    return {
        name: round(float(hits.mean()), NUM_DECIMALS),
        f"{name}_low": round(float(low), NUM_DECIMALS),
        f"{name}_high": round(float(high), NUM_DECIMALS),
    }


def _informedness(own: NDArray[np.bool_], called: NDArray[np.bool_]) -> dict[str, Any]:
    """Newcombe's interval from Wilson's of both shares; in a set of one class nothing is told."""
    if own.all():
        names = ("false_alarms", "informedness", "informedness_low", "informedness_high")
        return dict.fromkeys(names, 0.0) | {"background": "no", "warning": False}
    right, size = (
        np.array([own_or_other.sum() for own_or_other in pair], dtype=np.float64)
        for pair in ((called[own], called[~own]), (own, ~own))
    )
    (share, false_alarms), (lows, highs) = right / size, wilson(right, size)
    difference = float(share - false_alarms)
    low = difference - float(np.hypot(share - lows[0], highs[1] - false_alarms))
    high = difference + float(np.hypot(highs[0] - share, false_alarms - lows[1]))
    return {
        "false_alarms": round(float(false_alarms), NUM_DECIMALS),
        "informedness": round(difference, NUM_DECIMALS),
        "informedness_low": round(low, NUM_DECIMALS),
        "informedness_high": round(high, NUM_DECIMALS),
        "background": "decides" if low > DECIDES else "hints" if low > HINTS else "no",
        "warning": low > DECIDES,
    }


def _decide(classifier: Classifier, pixels: Pixels, batch_size: int) -> NDArray[np.int64]:
    steps = range(0, len(pixels), batch_size)
    batches = [classifier.probabilities(pixels[i : i + batch_size]) for i in steps]
    return classifier.decide(np.concatenate(batches))
