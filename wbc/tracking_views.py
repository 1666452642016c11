"""Views of the run list that MLflow's UI offers in its menu `Views`, so that it opens on scores.

MLflow has no setting for the columns of the run list; it keeps saved views as tags of the
experiment, `mlflow.sharedViewState.KEY`, in the form of its UI (looked up in 3.17). A UI that does
not understand one shows its own columns.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

PREFIX: Final = "mlflow.sharedViewState."
RANKING: Final = "val/macro_f1"  # the only score by which models are chosen
PARAMS: Final = ("architecture", "model.dropout", "train.learning_rate", "train.unfreeze", "seed")
# Of the run list's address: the view, and the UI's half for training instead of chats and agents.
QUERY: Final = "workflowType=machine_learning&viewStateShareKey=scores"
_WIDTHS: Final = {"metrics": 120, "params": 130, "tags": 130, "attributes": 150}
_NOT_SETS: Final = ("val", "best", "epoch", "cv")
_CREATED: Final = 1767225600000  # a fixed moment: the tags stay the same until a view changes


def view_tags(metrics: Iterable[str]) -> dict[str, str]:
    """The experiment tags of both views; `metrics` are the names that its runs have."""
    sets = evaluation_sets(metrics)
    return {
        f"{PREFIX}scores": _saved("1 Scores, best on validation first", _scores(sets)),
        f"{PREFIX}parallel": _saved("2 Settings and scores, parallel coordinates", _charts(sets)),
    }


def evaluation_sets(metrics: Iterable[str]) -> list[str]:
    """`val`, then every other set that has a macro-F1, by name."""
    names = {name.removesuffix("/macro_f1") for name in metrics if name.endswith("/macro_f1")}
    return ["val", *sorted(name for name in names if "/" not in name and name not in _NOT_SETS)]


def _scores(sets: list[str]) -> dict[str, Any]:
    columns = [
        *(_column("metrics", f"{name}/macro_f1") for name in sets),
        _column("metrics", f"{RANKING}/low"),
        _column("metrics", f"{RANKING}/high"),
        *(_column("params", name) for name in PARAMS),
        _column("tags", "start"),
        _column("tags", "dvc.experiment"),
        _column("attributes", "Models"),
    ]
    widths = {column: _WIDTHS[column.partition(".")[0]] for column in columns}
    return {
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": widths,
        "orderByKey": _column("metrics", RANKING),
        "orderByAsc": False,
    }


def _charts(sets: list[str]) -> dict[str, Any]:
    scores = [f"{name}/macro_f1" for name in sets]
    section = {"uuid": "wbc", "name": "Settings and scores", "display": True}
    parallel = _chart("PARALLEL", "Settings and scores") | {
        "selectedParams": [name for name in PARAMS if name != "seed"],
        "selectedMetrics": scores,
        "showAllRuns": True,
    }
    bars = [
        _chart("BAR", name) | {"metricKey": name}
        for name in (*scores, "val/balanced_accuracy", "val/ece")
    ]
    curves = [
        _chart("LINE", name) | {"metricKey": name, "selectedMetricKeys": [name]}
        for name in ("epoch/train/loss", "epoch/val/loss", "epoch/val/macro_f1")
    ]
    return _scores(sets) | {
        "compareRunSections": [section | {"isReordered": False, "deleted": False}],
        "compareRunCharts": [parallel, *bars, *curves],
        "isAccordionReordered": True,
    }


def _chart(kind: str, name: str) -> dict[str, Any]:
    return {
        "uuid": f"wbc-{name}",
        "type": kind,
        "metricSectionId": "wbc",
        "displayName": name,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": False,
    }


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def _saved(name: str, state: dict[str, Any]) -> str:
    record = {"name": name, "createdAt": _CREATED, "updatedAt": _CREATED}
    return json.dumps(record | {"state": json.dumps(state)})
