"""Several trainings of one network that differ in nothing but the seed: what of a score is luck."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wbc.errors import not_as_written
from wbc.metrics import NUM_DECIMALS, Scores, value
from wbc.written import JSON, parsed

OTHERS: Final = "seeds"  # beside a model or its report: a folder for each seed but the first
LIST_FILE: Final = "seeds.json"
SCORES: Final = ("balanced_accuracy", "macro_f1", "accuracy", "mcc", "ece")


def write_others(folder: Path, seeds: Sequence[int]) -> Path:
    """The folder OTHERS in `folder`, with the list of the seeds that it will hold.

    The list is there for no seeds too, because DVC warns of an output that is an empty folder.
    """
    others = folder / OTHERS
    others.mkdir(parents=True, exist_ok=True)
    (others / LIST_FILE).write_text(json.dumps(sorted(seeds)) + "\n", encoding="utf-8")
    return others


def read_others(folder: Path) -> dict[int, Path]:
    """{seed: its folder}, in rising order."""
    others = folder / OTHERS
    listed = parsed(others / LIST_FILE)
    if not isinstance(listed, list) or not all(isinstance(seed, int) for seed in listed):
        raise not_as_written(others / LIST_FILE, "is no list of seeds", JSON)
    return {seed: others / str(seed) for seed in listed}


def seed_table(metrics: Mapping[int, Mapping[str, Scores]]) -> pd.DataFrame:
    """One row a seed and evaluation set: columns seed, set and SCORES.

    Args:
        metrics: {seed: what metrics.json holds}, the first seed first.
    """
    rows = [
        {"seed": seed, "set": name, **{score: value(scores[score]) for score in SCORES}}
        for seed, sets in metrics.items()
        for name, scores in sets.items()
    ]
    return pd.DataFrame(rows, columns=["seed", "set", *SCORES]).round(NUM_DECIMALS)


def seed_summary(table: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """{set: {score: {mean, sd, min, max, values}}} of `seed_table`'s rows.

    `sd` is the standard deviation of a sample (n - 1); None for a single seed, which has no spread.
    """
    return {
        str(name): {score: _spread([float(x) for x in rows[score]]) for score in SCORES}
        for name, rows in table.groupby("set", sort=False)
    }


def _spread(values: list[float]) -> dict[str, Any]:
    series = pd.Series(values)
    return {
        "mean": float(series.mean()),
        "sd": float(series.std(ddof=1)) if len(values) > 1 else None,
        "min": min(values),
        "max": max(values),
        "values": values,
    }
