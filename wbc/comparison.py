"""One table of all trained networks, ranked by validation macro-F1 among equals only.

Networks that started from ImageNet, from a file and from random weights are never ranked together,
and nothing is chosen on a test set: the columns of the tests are for reading. A model is the pair
of its card (model.json) and its metrics (metrics.json), both as read from their files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from wbc.errors import UserError
from wbc.metrics import value

Json = Mapping[str, Any]

STARTS = {  # in the order of the groups in the table
    "imagenet": "from ImageNet weights",
    "file": "from a file of weights",
    "random": "from random weights",
}
SCORES = ("balanced_accuracy", "macro_f1", "accuracy")
FIXED_COLUMNS = ("rank", "architecture", "start", "num_parameters", "best_epoch", "val/macro_f1")


def compare(models: Sequence[tuple[Json, Json, int]]) -> pd.DataFrame:
    """One row a model (card, metrics, number of parameters), best first within each start.

    Columns: FIXED_COLUMNS, then `<set>/balanced_accuracy`, `<set>/macro_f1`, `<set>/accuracy` of
    val and of every other set in the order of the first model that has it (None where a model was
    not evaluated on it). `rank` counts from 1 within equal `start`; equal validation macro-F1
    shares a rank (1, 1, 3) and is ordered by architecture.

    Raises:
        UserError: no models, one without a validation score, or models trained and validated on
            different pixel stores, whose scores cannot be ranked.
    """
    if not models:
        raise UserError("Nothing to compare: name networks in architectures and run `dvc repro`.")
    for card, metrics, _ in models:
        _check(card, metrics)
    _check_same_pixels([card for card, _, _ in models])
    sets = list(dict.fromkeys(name for _, metrics, _ in models for name in metrics))
    sets.sort(key=lambda name: name != "val")  # stable: val first, the rest as they came
    rows = [_row(card, metrics, num_parameters, sets) for card, metrics, num_parameters in models]
    order = list(STARTS)
    rows.sort(
        key=lambda row: (order.index(row["start"]), -row["val/macro_f1"], row["architecture"])
    )
    for row in rows:
        better = [
            other
            for other in rows
            if other["start"] == row["start"] and other["val/macro_f1"] > row["val/macro_f1"]
        ]
        row["rank"] = len(better) + 1
    return pd.DataFrame(rows, dtype=object)


def winners(table: pd.DataFrame) -> dict[str, str]:
    """{start: architecture} of the first row of each start in `compare`'s table.

    A tie goes to the smaller network, then to the first by name, so that it is decided by no test.
    """
    best = table[table["rank"] == 1].copy()
    best["num_parameters"] = best["num_parameters"].astype(int)
    best = best.sort_values(["num_parameters", "architecture"], kind="stable")
    return {
        start: str(best[best["start"] == start]["architecture"].iloc[0])
        for start in dict.fromkeys(table["start"])
    }


def to_markdown(table: pd.DataFrame) -> str:
    """The table as GitHub Markdown: shares with 4 decimals, counts with separators, – for none."""
    rules = ("---" if name in ("architecture", "start") else "---:" for name in table)
    lines = [f"| {' | '.join(table.columns)} |", f"| {' | '.join(rules)} |"]
    for row in table.itertuples(index=False, name=None):
        lines.append("| " + " | ".join(_cell(value) for value in row) + " |")
    return "\n".join(lines) + "\n"


def report(table: pd.DataFrame) -> str:
    """compare.md: the table, what was ranked with what, and the winner of each start."""
    lines = [f"- {STARTS[start]}: {name}" for start, name in winners(table).items()]
    return "\n".join(
        [
            "# Comparison of networks",
            "",
            "Ranked by macro-F1 on the validation set, and only among networks with the same start."
            " The other sets are shown for reading; nothing is chosen on them.",
            "",
            to_markdown(table),
            "Best by validation:",
            "",
            *lines,
            "",
        ]
    )


def _row(card: Json, metrics: Json, num_parameters: int, sets: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "rank": 0,
        "architecture": card["architecture"],
        "start": card["start"],
        "num_parameters": int(num_parameters),
        "best_epoch": card["best"]["epoch"],
        "val/macro_f1": value(metrics["val"]["macro_f1"]),
    }
    for name in sets:
        for score in SCORES:
            found = metrics.get(name, {}).get(score)
            row.setdefault(f"{name}/{score}", None if found is None else value(found))
    return row


def _check(card: Json, metrics: Json) -> None:
    if "macro_f1" not in metrics.get("val", {}):
        raise UserError(
            f"{card['architecture']} has no validation macro-F1 in its metrics.json, so it cannot"
            f" be ranked; run `dvc repro -f evaluate@{card['architecture']}`."
        )


def _check_same_pixels(cards: Sequence[Json]) -> None:
    if len({card["inputs"]["pixels"] for card in cards}) > 1:
        found = ", ".join(
            f"{card['architecture']} {card['inputs']['pixels'][:8]}" for card in cards
        )
        raise UserError(
            "All networks should be trained and validated on the same pixel store, but the hashes"
            f" of theirs differ ({found}); run `dvc repro` to train the older ones again."
        )


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
