"""wbc.tracking.record: what a run says, as plain values."""

from pathlib import Path

from tests.mlflow_home import HISTORY, card
from wbc.tracking import record as tracking_record


def test_the_history_file_is_the_curves(tmp_path: Path) -> None:
    assert tracking_record.history(tmp_path) == {}
    (tmp_path / "history.csv").write_text(HISTORY)
    curves = tracking_record.history(tmp_path)
    assert curves[1]["epoch/val/macro_f1"] == 0.4
    assert "epoch/val/loss" not in curves[2]
    assert not any("phase" in name for name in curves[1])


def test_scores_are_flat_and_finite() -> None:
    scores = {"val": {"recall": {"monocyte": 0.5, "basophil": None}, "log_loss": float("nan")}}
    assert tracking_record.flat_scores(scores) == {"val/recall/monocyte": 0.5}


def test_a_score_with_an_interval_keeps_its_name() -> None:
    score = {"value": 0.5, "low": 0.25, "high": 0.75}
    names = ("macro_f1", "ece_uncalibrated")
    flat = tracking_record.flat_scores(
        {
            "val": {
                **dict.fromkeys(names, score),
                **{kind: {"monocyte": score} for kind in ("recall", "precision")},
                "log_loss": score,
            }
        }
    )
    assert flat == {
        "val/macro_f1": 0.5,
        "val/macro_f1/low": 0.25,
        "val/macro_f1/high": 0.75,
        "val/ece_uncalibrated": 0.5,
        "val/recall/monocyte": 0.5,
        "val/precision/monocyte": 0.5,
        "val/log_loss": 0.5,
    }


def test_parameters_look_as_in_params_yaml() -> None:
    texts = tracking_record.parameter_texts({"a": True, "b": 1e-3, "c": "auto", "d": 0, "e": ["x"]})
    assert texts == {"a": "true", "b": "0.001", "c": "auto", "d": "0", "e": '["x"]'}


def test_drawn_cells_and_a_fallback_are_said_loudly() -> None:
    note = "ImageNet weights could not be had; `dvc repro -f weights@x` tries again."
    said = tracking_record.sentence(card(drawn=True, start_note=note), {})
    assert "TRAINED ON DRAWN CELLS" in said
    assert f"FALLBACK: {note}" in said
