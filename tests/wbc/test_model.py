"""A model as two files: written, read, decided, damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wbc import model
from wbc.backbones import Network
from wbc.cells import CLASSES
from wbc.errors import UserError

CARD: model.Card = {
    "architecture": "squeezenet1_1",
    "classes": list(CLASSES),
    "input": {"size": 32, "crop": "none", "context": 1.5},
    "log_prior": [float(x) for x in np.log([0.6, 0.2, 0.1, 0.05, 0.05])],
    "decision": "logit_adjustment",
}


def saved(folder: Path, **card: Any) -> Path:
    torch.manual_seed(0)
    model.save(folder, Network("squeezenet1_1", 0.2, False), CARD | card)
    return folder


def squares(count: int = 5) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_probabilities_are_those_of_the_training_mix(tmp_path: Path) -> None:
    adjusted = model.load(saved(tmp_path / "a"))
    flat = model.load(saved(tmp_path / "b", log_prior=[0.0] * 5))
    with_prior, without = adjusted.probabilities(squares()), flat.probabilities(squares())
    assert with_prior.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    prior = np.array([0.6, 0.2, 0.1, 0.05, 0.05])
    expected = without * prior / (without * prior).sum(axis=1, keepdims=True)
    assert with_prior == pytest.approx(expected, abs=1e-5)


def test_the_decision_counts_classes_as_even() -> None:
    probabilities = np.array([[0.5, 0.1, 0.1, 0.2, 0.1], [0.9, 0.025, 0.025, 0.025, 0.025]])
    assert list(model.decide(probabilities, CARD)) == [3, 0]
    assert list(model.decide(probabilities, CARD | {"decision": "argmax"})) == [0, 0]


def test_one_pass_gives_logits_and_features(tmp_path: Path) -> None:
    classifier = model.load(saved(tmp_path))
    outputs = classifier.outputs(squares())
    assert outputs.logits.shape == (5, 5) and outputs.features.shape == (5, 512)
    assert np.array_equal(
        classifier.probabilities_of(outputs.logits), classifier.probabilities(squares())
    )
    whole = classifier.all_outputs(iter([squares()[:3], squares()[3:]]))
    assert whole.logits == pytest.approx(outputs.logits, abs=1e-5)
    assert whole.features == pytest.approx(outputs.features, abs=1e-5)


def test_a_model_that_gives_no_numbers_is_one_sentence(tmp_path: Path) -> None:
    classifier = model.load(saved(tmp_path))
    with torch.no_grad():
        next(classifier.network.parameters()).fill_(torch.nan)
    for answer in (classifier.outputs, classifier.probabilities):
        with pytest.raises(UserError, match="answers with what is no number"):
            answer(squares())
    with pytest.raises(UserError, match="answers with what is no number"):
        classifier.all_outputs(iter([squares()]))


def test_without_a_temperature_probabilities_are_as_before_temperatures(tmp_path: Path) -> None:
    classifier = model.load(saved(tmp_path))
    with torch.inference_mode():
        images = torch.from_numpy(squares()).permute(0, 3, 1, 2).float() / 255
        logits = classifier.network(images) + torch.tensor(CARD["log_prior"])
        before = torch.softmax(logits, dim=1).numpy()
    assert np.array_equal(classifier.probabilities(squares()), before)


@pytest.mark.parametrize("temperature", [0.3, 3.0])
@pytest.mark.parametrize("decision", ["logit_adjustment", "argmax"])
def test_a_temperature_moves_probabilities_and_no_decision(
    temperature: float, decision: str
) -> None:
    prior = CARD["log_prior"] if decision == "logit_adjustment" else [0.0] * 5
    card = CARD | {"decision": decision, "log_prior": prior, "temperature": temperature}
    spoken = np.random.default_rng(3).normal(0, 2, (500, 5)).astype(np.float32)
    logits = spoken + np.array(prior, dtype=np.float32)
    plain = model.probabilities_of(logits, card, calibrated=False)
    calibrated = model.probabilities_of(logits, card)
    assert np.array_equal(model.decide(plain, card), model.decide(calibrated, card))
    surer = calibrated.max(axis=1).mean() > plain.max(axis=1).mean()
    assert surer == (temperature < 1)
    expected = np.exp(spoken / temperature + prior)
    assert calibrated == pytest.approx(expected / expected.sum(1, keepdims=True), abs=1e-5)


def test_the_identity_is_that_of_the_content(tmp_path: Path) -> None:
    first = model.model_sha256(saved(tmp_path / "a"))
    assert model.model_sha256(saved(tmp_path / "b")) == first
    assert model.model_sha256(saved(tmp_path / "c", decision="argmax")) != first


def test_parameters_are_counted_without_batch_norm_statistics(tmp_path: Path) -> None:
    network = Network("resnet18", 0.0, False)
    model.save(tmp_path, network, CARD)
    assert model.num_parameters(tmp_path) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "model.safetensors").write_bytes(b"no weights"),
        lambda folder: (folder / "model.json").write_text("{"),
        lambda folder: (folder / "model.json").write_text(
            json.dumps(CARD | {"architecture": "resnet18"})
        ),
        lambda folder: (folder / "model.json").write_text(json.dumps({"classes": []})),
        lambda folder: (folder / "model.json").write_text("[" * 5000),
        lambda folder: (folder / "model.json").write_text("[]"),
        *(
            (
                lambda folder, changed=changed: model.write_card(
                    folder / "model.json", CARD | changed
                )
            )
            for changed in (
                {"classes": list(reversed(CLASSES))},
                {"classes": list(CLASSES[:4])},
                {"temperature": None},
                {"temperature": 0},
                {"decision": "vote"},
                {"log_prior": [0.0] * 4},
                {"log_prior": [1e308] * 5},
                {"offsets": "none"},
                {"input": {"size": 10**9, "crop": "cell", "context": 1.5}},
                {"input": None},
                {"architecture": ["squeezenet1_1"]},
            )
        ),
    ],
)
def test_a_damaged_model_is_one_sentence(tmp_path: Path, damage: Any) -> None:
    damage(saved(tmp_path))
    with pytest.raises(UserError, match=r"holds no readable model .*dvc checkout"):
        model.load(tmp_path)


def test_a_model_of_squares_that_are_no_longer_made_is_refused_by_name(tmp_path: Path) -> None:
    model.load(saved(tmp_path, input=CARD["input"] | {"light": "keep", "surroundings": "keep"}))
    model.write_card(tmp_path / model.CARD_FILE, CARD | {"input": {"light": "neutral"}})
    with pytest.raises(UserError, match=f"{tmp_path} was expected .*light keep, but has neutral"):
        model.load(tmp_path)
