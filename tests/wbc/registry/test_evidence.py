"""wbc.registry.evidence: what is read of a version's run; how sets are chosen: test_gate.py."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from tests.registry_home import answers, new_registry
from wbc.cells import CLASSES
from wbc.registry import evidence
from wbc.registry.evidence import MissingEvidence, choose


def test_smears_widen_the_interval_and_come_from_the_new_table() -> None:
    """Mistakes of a smear come together: over cells alone the interval would be too narrow."""
    table = answers(0)
    wrong = table["group"].isin(["s1", "s2", "s3"])
    table.loc[wrong, "predicted"] = table.loc[wrong, "label"].map(
        dict(zip(CLASSES, [*CLASSES[1:], CLASSES[0]], strict=True))
    )
    over_smears = evidence.balanced_accuracy(choose(table, "auto"))
    over_cells = evidence.balanced_accuracy(choose(table.assign(group=""), "auto"))
    assert over_smears["low"] < over_cells["low"] - 0.05
    known, unknown = choose(table, "auto"), choose(table.assign(group=""), "auto")
    paired = evidence.pair(known, unknown)
    assert paired.smears is not None and len(set(paired.smears)) == 15
    assert evidence.pair(unknown, known).smears is None


def test_copies_of_one_picture_are_paired_one_by_one() -> None:
    """Two cells with the same pixels, on which a model need not answer alike."""
    table = answers(0)
    table.loc[1, "sha256"] = table.loc[0, "sha256"]
    other = table.assign(predicted=table["predicted"].mask(table.index == 1, "monocyte"))
    paired = evidence.pair(choose(table, "auto"), choose(other, "auto"))
    assert len(paired.labels) == len(table)
    assert list((paired.first != paired.second).nonzero()[0]) == [1]


def test_what_is_no_evidence_is_said_in_a_clause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = new_registry(tmp_path / "home", monkeypatch)
    store = registry.store

    def refusal(predictions: pd.DataFrame | None) -> str:
        version = registry.version(registry.add(predictions))
        with pytest.raises(MissingEvidence) as error:
            evidence.read(store, version)
        return str(error.value)

    good = registry.version(registry.add(answers(2)))
    pd.testing.assert_frame_equal(evidence.read(store, good), answers(2))
    assert refusal(None) == (
        "its run has no report/predictions.csv: it was never evaluated by the stage"
    )
    assert refusal(answers(0).drop(columns=["group", "sha256"])) == (
        "its report/predictions.csv lacks the column group, so it was evaluated by older code"
    )
    unknown = answers(0)
    unknown.loc[3, "predicted"], unknown.loc[9, "label"] = "blast", "artefact"
    assert refusal(unknown) == (
        "its report/predictions.csv names the class 'artefact', which is unknown"
    )
    assert "'blast'" in refusal(answers(0).replace({"predicted": {"basophil": "blast"}}))
    assert "'blast'" in refusal(answers(0).replace({"label": {"basophil": "blast"}}))
    gone, none = SimpleNamespace(run_id="0" * 32), SimpleNamespace(run_id="")
    for version, words in (
        (gone, "its run is no longer in MLflow"),
        (none, "it was registered without a run"),
    ):
        with pytest.raises(MissingEvidence, match=f"^{words}$"):
            evidence.read(store, version)
