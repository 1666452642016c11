"""What the registry itself holds of a version's answers: report/predictions.csv of its run.

The workspace is not asked, so that versions of any commit, machine and data can be compared. An
evaluation set is named by the SHA-256 over its cells and labels, never by its folder or path.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from wbc import smears
from wbc.cells import CLASSES, read_table
from wbc.errors import UserError
from wbc.intervals import Judged, score_intervals
from wbc.metrics import class_indices
from wbc.paired import Pair
from wbc.pixels import evaluation_set_sha256
from wbc.tracking.store import Store

PREDICTIONS: Final = "report/predictions.csv"
TESTS: Final = ("test", "test_a", "test_b")  # sets of the sources that are learned from
_NEEDED: Final = ("path", "set", "group", "label", "predicted", "sha256")


class MissingEvidence(Exception):  # noqa: N818
    """Why a version cannot be judged from what the registry has; one clause without a stop."""


@dataclass(frozen=True)
class EvaluationSet:
    """One set of a version's predictions.csv: the rows `cells`, named by `sha256`."""

    name: str
    sha256: str
    cells: pd.DataFrame

    @property
    def smears(self) -> Any:
        """(N,) number of each cell's smear, or None where they are not known."""
        return smears.several(smears.smears_of(self.cells))


def read(store: Store, version: Any) -> pd.DataFrame:
    """predictions.csv of the version's run.

    Raises:
        MissingEvidence: the run or the file is not there, or is of before cells were named.
    """
    from mlflow.exceptions import MlflowException

    if not version.run_id:
        raise MissingEvidence("it was registered without a run")
    try:
        there = {entry.path for entry in store.client.list_artifacts(version.run_id, "report")}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise MissingEvidence("its run is no longer in MLflow") from None
    if PREDICTIONS not in there:
        raise MissingEvidence(f"its run has no {PREDICTIONS}: it was never evaluated by the stage")
    with tempfile.TemporaryDirectory() as scratch:
        found = store.client.download_artifacts(version.run_id, PREDICTIONS, scratch)
        try:
            table = read_table(Path(found))
        except UserError:
            raise MissingEvidence(f"its {PREDICTIONS} is damaged") from None
        return _checked(table)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    lacking = [name for name in _NEEDED if name not in table]
    if lacking:
        raise MissingEvidence(
            f"its {PREDICTIONS} lacks the column {lacking[0]}, so it was evaluated by older code"
        )
    unknown = sorted({*table["label"], *table["predicted"]} - set(CLASSES))
    if unknown:
        raise MissingEvidence(f"its {PREDICTIONS} names the class {unknown[0]!r}, which is unknown")
    return table


def choose(predictions: pd.DataFrame, wanted: str) -> EvaluationSet:
    """The set that decides: `wanted`, or with `auto` the first test set with all five classes.

    Raises:
        MissingEvidence: there is none.
    """
    names = list(dict.fromkeys(predictions["set"]))
    complete = [
        name
        for name in TESTS
        if set(predictions.loc[predictions["set"] == name, "label"]) == set(CLASSES)
    ]
    name = next(iter(complete), "") if wanted == "auto" else wanted
    if name not in names:
        sought = "a test set with all five classes" if wanted == "auto" else f"the set {wanted}"
        raise MissingEvidence(
            f"it was not evaluated on {sought} (promotion.set: {wanted}), but on"
            f" {', '.join(names) or 'nothing'}"
        )
    return _set(predictions, name)


def same_set(predictions: pd.DataFrame, sought: EvaluationSet) -> EvaluationSet | None:
    """The set with the same cells and labels, whatever it is called there; None without one."""
    found = (_set(predictions, name) for name in dict.fromkeys(predictions["set"]))
    return next((one for one in found if one.sha256 == sought.sha256), None)


def pair(new: EvaluationSet, old: EvaluationSet) -> Pair:
    """Both models' decisions, cell by cell; copies of one picture are told apart by their order.

    Smears are taken from the new one's table.
    """
    tables = [
        one.cells.assign(copy=one.cells.groupby(["sha256", "label"]).cumcount())
        for one in (new, old)
    ]
    keys = ["sha256", "label", "copy"]
    both = tables[0].merge(tables[1][[*keys, "predicted"]], on=keys, validate="one_to_one")
    labels, first, second = (
        class_indices(list(both[column])) for column in ("label", "predicted_x", "predicted_y")
    )
    return Pair(labels, first, second, smears.smears_of(both))


def balanced_accuracy(one: EvaluationSet) -> dict[str, float]:
    """{value, low, high}: the 95 % interval, over smears where they are known."""
    labels, decisions = (
        class_indices(list(one.cells[column])) for column in ("label", "predicted")
    )
    columns = [f"p_{name}" for name in CLASSES]
    probabilities = one.cells[columns].to_numpy(dtype=np.float64)
    judged = Judged(labels, decisions, probabilities, probabilities)
    return score_intervals(judged, one.smears)["balanced_accuracy"]


def _set(predictions: pd.DataFrame, name: str) -> EvaluationSet:
    cells = predictions[predictions["set"] == name].reset_index(drop=True)
    return EvaluationSet(name, evaluation_set_sha256(cells), cells)
