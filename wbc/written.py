"""What stages wrote, read again: JSON files, and predictions.csv beside its metrics.json.

DVC sees a damaged file by its hash, but nobody asks DVC where a stage is started by hand.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wbc.cells import read_table
from wbc.errors import not_as_written, not_there, one_line, shown

JSON: Final = "a JSON file"


def parsed(path: Path) -> Any:
    """A JSON file's content.

    Raises:
        UserError: it is not there, or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise not_there(path) from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        found = f"cannot be read ({one_line(error, 120)})"
        raise not_as_written(path, found, JSON) from None


def read_json(path: Path, keys: Iterable[str] = ()) -> dict[str, Any]:
    """A JSON object.

    keys: those that the caller cannot do without.

    Raises:
        UserError: as `parsed`; it is no object, or lacks one of the keys.
    """
    content = parsed(path)
    if not isinstance(content, dict):
        raise not_as_written(path, "is no object with names and values", JSON)
    if lacking := [key for key in keys if key not in content]:
        raise not_as_written(path, f"has no {lacking[0]}", JSON)
    return content


def read_scores(path: Path) -> dict[str, dict[str, Any]]:
    """metrics.json or seeds.json: the scores of each evaluation set.

    Raises:
        UserError: as `read_json`; a set has no scores.
    """
    content = read_json(path)
    if odd := [name for name, scores in content.items() if not isinstance(scores, dict)]:
        raise not_as_written(path, f"has no scores of {odd[0]}", JSON)
    return content


def read_predictions(report_dir: Path, scores: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """predictions.csv, which must have the cells that `scores`, its metrics.json, were counted on.

    Raises:
        UserError: it is not there or damaged, or has more or fewer cells of a set.
    """
    path = report_dir / "predictions.csv"
    table = read_table(path, ("set", "label", "predicted"))
    found = table["set"].value_counts()
    for name, of_set in scores.items():
        wanted, there = of_set.get("num_cells"), int(found.get(name, 0))
        if wanted is not None and wanted != there:
            words = f"has {there:,} of the {shown(wanted)} cells of {name} that metrics.json counts"
            raise not_as_written(path, words)
    return table
