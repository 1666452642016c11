"""wbc.predicting.rows: the same answers as the registered version gives, and what is flagged."""

import dataclasses
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.mlflow_home import card, write_model, write_reference
from tests.wbc import pictures
from wbc import imaging, model
from wbc.cells import CLASSES
from wbc.predicting import rows
from wbc.predicting.command import framing_of
from wbc.predicting.found import Found
from wbc.predicting.preparing import Ready, prepared
from wbc.reference import REFERENCE_FILE, distances, make_reference, write
from wbc.registry import packaging

PROBABILITIES = [f"p_{name}" for name in CLASSES]
IMAGES = [pictures.encoded(pictures.cell(x=50 + 9 * number, width=220)) for number in range(12)]


class Fixed:
    """A model that always says the same."""

    def __init__(self, shares: list[list[float]], **changes: Any) -> None:
        self.card = card(**changes)
        self._logits = np.log(np.array(shares, np.float32))

    def outputs(self, pixels: np.ndarray) -> model.Outputs:
        return model.Outputs(self._logits[: len(pixels)], np.zeros((len(pixels), 1), np.float32))

    def probabilities_of(self, logits: Any, calibrated: bool = True) -> Any:
        return model.probabilities_of(logits, self.card, calibrated)

    def decide(self, probabilities: Any) -> Any:
        return model.decide(probabilities, self.card)


def ready(name: str = "a", located: bool = True) -> Ready:
    return Ready(name, np.zeros((4, 4, 3), np.uint8), located)


@pytest.mark.parametrize("crop", ["cell", "mask"])
def test_answers_are_those_of_the_registered_version(tmp_path: Path, crop: str) -> None:
    settings = {"size": 64, "crop": crop, "context": 1.5}
    model_dir, _ = write_model(tmp_path, temperature=1.4, input=settings)
    noise = write_reference(model_dir)
    classifier = model.load(model_dir)
    squares = [imaging.prepare(x, framing_of(classifier.card)).pixels for x in IMAGES]
    away = np.sort(distances(noise, classifier.outputs(np.stack(squares)).features))
    limit = np.full(len(noise.distances), away[5:8].mean())  # some cells lie beyond
    reference = dataclasses.replace(noise, distances=limit)
    write(model_dir / REFERENCE_FILE, reference)
    packaging.package(model_dir, tmp_path / "version")
    served = mlflow.pyfunc.load_model(str(tmp_path / "version"))
    images = [*IMAGES[:5], b"no image", *IMAGES[5:]]
    expected = served.predict(pd.DataFrame({"image": images}))

    found = [Found(str(n), read=lambda one=one: one) for n, one in enumerate(images)]
    batch = list(prepared(found, framing_of(classifier.card)))
    got = pd.DataFrame(rows.judge(classifier, batch, 0.5, reference))
    read = ~got["unreadable"]
    assert list(got.index[~read]) == [5]
    assert list(got["class"][read]) == list(expected["class"][read])
    assert list(got["error"]) == list(expected["error"])
    assert list(~got["unlocated"][read]) == list(expected["located"][read])
    assert list(got["out_of_domain"]) == list(expected["out_of_domain"])
    assert 0 < got["out_of_domain"].sum() < len(IMAGES)
    apart = got[PROBABILITIES][read].astype(float) - expected[PROBABILITIES][read]
    assert np.abs(apart.to_numpy()).max() <= 5.1e-7  # six decimals


def test_margin_and_flags_under_logit_adjustment() -> None:
    prior = [0.6, 0.1, 0.1, 0.1, 0.1]
    shares = [[0.5, 0.3, 0.1, 0.05, 0.05], [0.9, 0.04, 0.02, 0.02, 0.02]]
    fixed = Fixed(shares, log_prior=np.log(prior).tolist())
    first, second = rows.judge(fixed, [ready(), ready(located=False)], 0.5, None)  # type: ignore[arg-type]
    even = np.array(shares[0]) / prior
    even = even / even.sum()
    assert first["class"] == CLASSES[1]  # 0.3 / 0.1 is more than 0.5 / 0.6
    assert first["margin"] == pytest.approx(even[1] - even[2], abs=1e-6)
    assert first["uncertain"] and not second["uncertain"]
    assert (first["unlocated"], second["unlocated"]) == (False, True)


def test_margin_without_logit_adjustment_is_of_the_probabilities() -> None:
    fixed = Fixed([[0.5, 0.3, 0.1, 0.05, 0.05]], decision="argmax", log_prior=[0.0] * 5)
    (row,) = rows.judge(fixed, [ready()], 0.5, None)  # type: ignore[arg-type]
    assert row["class"] == CLASSES[0] and row["margin"] == pytest.approx(0.2)
    assert not row["uncertain"]  # not below, at


def test_an_unreadable_file_has_a_row_without_numbers() -> None:
    fixed = Fixed([[0.2] * 5])
    broken = Ready("b", problem="not an image")
    first, second, third = rows.judge(fixed, [broken, ready(), broken], 0.5, None)  # type: ignore[arg-type]
    assert first == third == {
        "path": "b", "class": None, **dict.fromkeys(PROBABILITIES), "margin": None,
        "distance": None, "uncertain": False, "out_of_domain": None, "unlocated": False,
        "unreadable": True, "error": "not an image",
    }  # fmt: skip
    assert list(first) == list(second) == rows.columns(CLASSES)
    assert rows.counted([first, second, third]) == {
        "unreadable": 2, "uncertain": 1, second["class"]: 1,
    }  # fmt: skip


def test_a_cell_beyond_the_limit_is_out_of_domain() -> None:
    """Fixed's only feature is 0, at the distance 1 of every training cell; the limit is 0."""
    ones = np.ones((9, 1), np.float32)
    reference = make_reference(ones, ones, np.zeros((9, 5), np.float32), {})
    broken = Ready("b", problem="not an image")
    fixed: Any = Fixed([[0.2] * 5])
    far, unread = rows.judge(fixed, [ready(), broken], 0.5, reference)
    assert far["out_of_domain"] is True and far["distance"] == 1
    assert unread["out_of_domain"] is False and unread["distance"] is None
    assert rows.counted([far, unread])["out_of_domain"] == 1
    same = make_reference(ones, np.zeros((9, 1), np.float32), np.zeros((9, 5), np.float32), {})
    (near,) = rows.judge(fixed, [ready()], 0.5, same)
    assert near["out_of_domain"] is False
