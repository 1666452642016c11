"""Rows of `predict` and what stands around them, made by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tests.mlflow_home import card
from wbc import counts
from wbc.cells import CLASSES
from wbc.slides.judging import Judged


def row(path: str, name: str, p: float = 0.9, **flags: Any) -> dict[str, Any]:
    """A cell named so with probability p, the rest spread over the others."""
    shares = {f"p_{each}": (1 - p) / 4 for each in CLASSES} | {f"p_{name}": p}
    plain = {"uncertain": False, "unlocated": False, "unreadable": False, "error": ""}
    return {"path": path, "class": name, **shares, "margin": p - 0.1, **plain, **flags}


def unreadable(path: str) -> dict[str, Any]:
    empty = {f"p_{each}": None for each in CLASSES} | {"class": None, "margin": None}
    return row(path, CLASSES[0]) | empty | {"unreadable": True, "error": "not an image"}


def judged(
    rows: Sequence[dict[str, Any]],
    name: str = "net-1234",
    validation: counts.Counts | None = None,
) -> Judged:
    table = pd.DataFrame(rows).set_index("path", drop=False).rename_axis(None)
    return Judged(name, "ab" * 32, card(), table, validation)


def perfect(num_each: int = 50) -> counts.Counts:
    return np.eye(len(CLASSES), dtype=np.int64) * num_each
