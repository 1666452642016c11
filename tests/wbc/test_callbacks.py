"""Averaged weights: frozen tensors stay as they are."""

import pytest
import torch

from wbc.callbacks import exponential_average


def test_averaging_leaves_equal_tensors_equal() -> None:
    average = exponential_average(0.98)
    tensor = torch.randn(1000)
    assert torch.equal(average(tensor, tensor.clone(), torch.tensor(50)), tensor)
    moved = average(torch.zeros(1), torch.ones(1), torch.tensor(10_000))
    assert moved.item() == pytest.approx(0.02)
