"""The best of each start, by validation, against every other of its start, on every set."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from wbc import paired
from wbc.comparison import Json, winners
from wbc.metrics import NUM_DECIMALS, significant

COLUMNS = (
    *("set", "start", "best", "other", "num_cells", "resampled", "num_smears"),
    *("only_best_right", "only_other_right", "mcnemar/p", "mcnemar/p_holm"),
    *(
        f"{score}/{part}"
        for score in paired.SCORES
        for part in ("difference", "low", "high", "p", "p_holm")
    ),
)


def paired_table(
    table: pd.DataFrame, predictions: Mapping[str, pd.DataFrame], metrics: Mapping[str, Json]
) -> pd.DataFrame:
    """One row a set and pair, columns COLUMNS; no rows where each start has one model.

    `*/difference` is the best's score less the other's, with 95 % interval; `*_holm` are p-values
    corrected over all comparisons within the set.

    Args:
        table: `comparison.compare`'s.
        predictions: {architecture: predictions.csv}.
        metrics: {architecture: metrics.json}, whose `interval` says what is resampled.
    """
    starts = dict(zip(table["architecture"], table["start"], strict=True))
    best = winners(table)
    rows: list[dict[str, Any]] = []
    for name in metrics[str(table["architecture"].iloc[0])]:
        pairs = [(best[start], other) for other, start in starts.items() if other != best[start]]
        tested = [_row(name, pair, starts[pair[0]], predictions, metrics) for pair in pairs]
        rows += _corrected(tested)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def rounded(tests: pd.DataFrame) -> pd.DataFrame:
    """The table as it is written: decimals for scores, significant digits for p-values."""
    columns = [name for name in tests if str(name).endswith(("/p", "/p_holm"))]
    written = tests.round(dict.fromkeys(set(tests) - set(columns), NUM_DECIMALS))
    return written.assign(**{name: tests[name].map(significant) for name in columns})


def _row(
    name: str,
    pair: tuple[str, str],
    start: str,
    predictions: Mapping[str, pd.DataFrame],
    metrics: Mapping[str, Json],
) -> dict[str, Any]:
    best, other = pair
    resampled = str(metrics[best][name]["interval"])
    cells = paired.join(predictions[best], predictions[other], name, resampled == "smears")
    found = paired.compare(cells)
    row: dict[str, Any] = {
        "set": name,
        "start": start,
        "best": best,
        "other": other,
        "num_cells": found.num_cells,
        "resampled": resampled,
        "num_smears": found.num_smears,
        "only_best_right": found.only_first_right,
        "only_other_right": found.only_second_right,
        "mcnemar/p": found.mcnemar_p,
    }
    for score, difference in found.differences.items():
        row[f"{score}/difference"] = difference.value
        row |= {f"{score}/{part}": getattr(difference, part) for part in ("low", "high", "p")}
    return row


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one set with Holm's p-values, each kind of test by itself."""
    for kind in ("mcnemar", *paired.SCORES):
        adjusted = paired.holm([row[f"{kind}/p"] for row in rows])
        for row, p in zip(rows, adjusted, strict=True):
            row[f"{kind}/p_holm"] = p
    return rows
