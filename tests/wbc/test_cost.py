"""Sizes against published figures; times only that they are there."""

from pathlib import Path

import numpy as np
import pytest

from wbc import cost, model
from wbc.backbones import Network
from wbc.cells import CLASSES


@pytest.mark.parametrize(
    ("architecture", "published"),  # torchvision's GFLOPS (multiply-adds) with 1,000 classes
    [("resnet18", 1.814e9), ("googlenet", 1.498e9), ("mobilenet_v2", 0.301e9)],
)
def test_multiply_adds_are_torchvisions(architecture: str, published: float) -> None:
    assert cost.multiply_adds(architecture, 224) == pytest.approx(published, rel=0.01)


def test_cost_grows_with_the_area() -> None:
    small, large = (cost.multiply_adds("squeezenet1_1", side) for side in (64, 128))
    assert 3.5 < large / small < 5


def test_size_and_speed_of_a_saved_model(tmp_path: Path) -> None:
    card = {
        "architecture": "squeezenet1_1",
        "classes": list(CLASSES),
        "input": {"size": 32, "crop": "none", "context": 1.5},
        "log_prior": [0.0] * 5,
        "decision": "argmax",
    }
    network = Network("squeezenet1_1", 0.0, False)
    model.save(tmp_path, network, card)
    size = cost.size_of(tmp_path, card)
    learned = sum(tensor.numel() for tensor in network.net.parameters())
    assert size.num_parameters == learned
    assert 4 * learned < size.num_bytes < 4 * learned + 20_000
    squares = np.zeros((4, 32, 32, 3), np.uint8)
    speed = cost.speed_of(model.load(tmp_path), squares)
    assert speed.latency_ms > 0 and np.isfinite(speed.images_per_second)
