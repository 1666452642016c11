"""The classical baseline: fitted by scikit-learn, answered from arrays, tuned without leaks."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.preprocessing import StandardScaler

from tests.wbc.pictures import encoded
from wbc import classical, model
from wbc.cells import CLASSES
from wbc.classical_training import Cells, choose, fit, fit_one, folds, logistic_regression
from wbc.errors import UserError
from wbc.handmade import extraction
from wbc.registry import packaging

EVEN = np.zeros(5)


def cells(count: int, seed: int = 0, num_groups: int = 0, num_classes: int = 5) -> Cells:
    """Gaussian clouds in 6 dimensions, one a class; `num_groups` smears or none known."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    centres = np.random.default_rng(9).normal(0, 1.5, (5, 6))
    features = centres[labels] + random.normal(0, 1, (count, 6))
    names = [f"s{i // 5 % num_groups}" if num_groups else "" for i in range(count)]
    return Cells(features, labels, np.array(names))


@pytest.mark.parametrize(("num_classes", "weighted"), [(5, False), (5, True), (2, False)])
def test_the_arrays_answer_as_scikit_learn(num_classes: int, weighted: bool) -> None:
    train, test = cells(120, num_classes=num_classes), cells(40, seed=1)
    parameters = fit_one(train.features, train.labels, 0.3, weighted)
    scaler = StandardScaler().fit(train.features)
    limit = classical.LIMIT
    theirs = logistic_regression(0.3, weighted).fit(
        scaler.transform(train.features).clip(-limit, limit), train.labels
    )
    logits = parameters.logits(parameters.standardised(test.features))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = theirs.predict_proba(scaler.transform(test.features).clip(-limit, limit))
    assert shares[:, :num_classes] == pytest.approx(expected, abs=1e-9)
    assert shares[:, num_classes:].max(initial=0) < 1e-6


def test_far_out_features_are_limited() -> None:
    parameters = fit_one(cells(60).features, cells(60).labels, 1.0, False)
    assert np.abs(parameters.standardised(np.full((1, 6), 1e9))).max() == classical.LIMIT


def test_a_smear_is_never_on_both_sides() -> None:
    grouped = cells(100, num_groups=7)
    for rest, held_out in folds(grouped, seed=1):
        assert not set(grouped.groups[rest]) & set(grouped.groups[held_out])
    held_out = np.concatenate([held for _, held in folds(grouped, 1)])
    assert sorted(held_out) == list(range(100))


@pytest.mark.parametrize("num_groups", [0, 1, 2])
def test_few_or_no_known_smears_still_give_folds(num_groups: int) -> None:
    assert len(folds(cells(50, num_groups=num_groups), 1)) == (2 if num_groups == 2 else 5)


def test_the_simplest_within_a_standard_error_is_chosen() -> None:
    rows = [
        {"C": strength, "cv/macro_f1": score, "cv/standard_error": 0.02}
        for strength, score in ((0.01, 0.80), (0.1, 0.89), (1.0, 0.90), (10.0, 0.88))
    ]
    assert choose(rows)["C"] == 0.1


def test_tuning_reports_every_strength_and_does_not_see_validation() -> None:
    train, val = cells(150, num_groups=12), cells(30, seed=3)
    fitted = fit(train, val, EVEN, False, seed=1)
    assert fitted.best in fitted.history and fitted.best["cv/macro_f1"] > 0.8
    assert [row["epoch"] for row in fitted.history] == list(range(1, len(fitted.history) + 1))
    shuffled = Cells(val.features, val.labels[::-1].copy(), val.groups)
    again = fit(train, shuffled, EVEN, False, seed=1)
    assert again.best["C"] == fitted.best["C"] and again.best["val/loss"] != fitted.best["val/loss"]
    assert np.array_equal(again.parameters.coefficients, fitted.parameters.coefficients)


def test_one_class_cannot_be_learned() -> None:
    with pytest.raises(UserError, match="one class only"):
        fit(cells(20, num_classes=1), cells(10), EVEN, False, seed=1)


def written(folder: Path, **changes: Any) -> Path:
    random = np.random.default_rng(2)
    size = len(extraction.NAMES)
    parameters = classical.Parameters(
        random.normal(size=size), np.ones(size), random.normal(size=(5, size)), np.zeros(5)
    )
    card = {
        "architecture": "classical",
        "classes": list(CLASSES),
        "input": {"size": 64, "crop": "cell", "context": 1.5},
        "log_prior": [float(x) for x in np.log([0.6, 0.2, 0.1, 0.05, 0.05])],
        "decision": "logit_adjustment",
        "temperature": 2.0,
        "features": list(extraction.NAMES),
    }
    classical.save(folder, parameters, card | changes)
    return folder


def squares(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def test_a_saved_model_is_a_classifier_like_the_others(tmp_path: Path) -> None:
    classifier = model.load(written(tmp_path))
    outputs = classifier.outputs(squares())
    assert outputs.logits.shape == (3, 5)
    assert outputs.features.shape == (3, len(extraction.NAMES))
    plain = classifier.probabilities(squares(), calibrated=False)
    shares = np.exp(outputs.logits - outputs.logits.max(axis=1, keepdims=True))
    assert plain == pytest.approx(shares / shares.sum(axis=1, keepdims=True), abs=1e-6)
    calibrated = classifier.probabilities(squares())
    assert calibrated.max() < plain.max()
    assert list(classifier.decide(calibrated)) == list(classifier.decide(plain))
    assert model.num_parameters(tmp_path) == 5 * (len(extraction.NAMES) + 1)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    assert model.model_sha256(written(tmp_path / "a")) == model.model_sha256(
        written(tmp_path / "b")
    )


def test_a_model_of_other_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="features are not those of this version"):
        model.load(written(tmp_path, features=["area"]))


def test_a_registered_version_answers_like_the_classifier(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", input={"size": 64, "crop": "none", "context": 1.5})
    packaging.package(folder, tmp_path / "version")
    images = [encoded(Image.fromarray(square)) for square in squares()]
    version = mlflow.pyfunc.load_model(str(tmp_path / "version"))
    answers = version.predict(pd.DataFrame({"image": images}))
    expected = model.load(folder).probabilities(squares())
    given = answers[[f"p_{name}" for name in CLASSES]].to_numpy()
    assert given == pytest.approx(expected, abs=1e-5)
    assert "scikit-image" in json.dumps(packaging.requirements())
