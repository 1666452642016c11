"""A model as two files: written, read, decided, damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wbc import model
from wbc.backbones import Network
from wbc.errors import UserError

CARD: model.Card = {
    "architecture": "squeezenet1_1",
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
    ],
)
def test_a_damaged_model_is_one_sentence(tmp_path: Path, damage: Any) -> None:
    damage(saved(tmp_path))
    with pytest.raises(UserError, match=r"holds no readable model .*dvc checkout"):
        model.load(tmp_path)
