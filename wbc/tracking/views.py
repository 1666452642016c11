"""Views of the run list that MLflow's UI offers in its menu `Views`, so that it opens on scores.

MLflow has no setting for the columns of the run list; it keeps saved views as tags of the
experiment, `mlflow.sharedViewState.KEY`, in the form of its UI (looked up in 3.17). A UI that does
not understand one shows its own columns.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

PREFIX: Final = "mlflow.sharedViewState."
RANKING: Final = "val/macro_f1"  # the only score by which models are chosen
PARAMS: Final = ("architecture", "model.dropout", "train.learning_rate", "train.unfreeze", "seed")
# Of the run list's address: the view, and the UI's half for training instead of chats and agents.
QUERY: Final = "workflowType=machine_learning&viewStateShareKey=scores"
_WIDTHS: Final = {"metrics": 120, "params": 130, "tags": 130, "attributes": 150}
_NOT_SETS: Final = ("val", "best", "epoch", "cv")
_MAX_SETS: Final = 4  # beside val; a tag holds 5000 characters
_CREATED: Final = 1767225600000  # a fixed moment: the tags stay the same until a view changes


def view_tags(runs: Sequence[Collection[str]]) -> dict[str, str]:
    """The experiment tags of both views.

    Args:
        runs: the names of each run's metrics, newest run first. The table has the evaluation sets
            of all; the chart those of the newest, since it shows no run that lacks one.
    """
    newest = next((names for names in runs if RANKING in names), ())
    columns = evaluation_sets(name for names in runs for name in names)
    return {
        f"{PREFIX}scores": _saved("1 Scores, best on validation first", _scores(columns)),
        f"{PREFIX}parallel": _saved(
            "2 Settings and scores, parallel coordinates", _charts(evaluation_sets(newest))
        ),
    }


def evaluation_sets(metrics: Iterable[str]) -> list[str]:
    """`val`, then the other sets that have a macro-F1, by name."""
    names = {name.removesuffix("/macro_f1") for name in metrics if name.endswith("/macro_f1")}
    others = sorted(name for name in names if "/" not in name and name not in _NOT_SETS)
    return ["val", *others[:_MAX_SETS]]


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
    parallel = _chart("PARALLEL", "wide", "Settings and scores") | {
        "selectedParams": [name for name in PARAMS if name != "seed"],
        "selectedMetrics": [*scores[1:], RANKING],  # the last one gives the colour
        "showAllRuns": True,
    }
    bars = [
        _chart("BAR", "three", name) | {"metricKey": name}
        for name in (*scores, "val/balanced_accuracy", "val/ece")
    ]
    curves = [
        _chart("LINE", "three", name) | {"metricKey": name, "selectedMetricKeys": [name]}
        for name in ("epoch/train/loss", "epoch/val/loss", "epoch/val/macro_f1")
    ]
    return _scores(sets) | {
        "columnOrder": [],
        "columnWidths": {},
        "compareRunSections": [
            _section("wide", "Settings and scores", columns=1),
            _section("three", "Scores and curves", columns=3),
        ],
        "compareRunCharts": [parallel, *bars, *curves],
        "isAccordionReordered": True,
    }


def _section(key: str, name: str, columns: int) -> dict[str, Any]:
    state = {"display": True, "isReordered": False, "deleted": False, "isGenerated": False}
    return {"uuid": key, "name": name, "columns": columns, "cardHeight": 360, **state}


def _chart(kind: str, section: str, name: str) -> dict[str, Any]:
    return {
        "uuid": name,
        "type": kind,
        "metricSectionId": section,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": False,
    }


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def _saved(name: str, state: dict[str, Any]) -> str:
    record = {"name": name, "createdAt": _CREATED, "updatedAt": _CREATED}
    text = json.dumps(state, separators=(",", ":"))
    return json.dumps(record | {"state": text}, separators=(",", ":"))
