"""Averaged weights: what learns is averaged, what is frozen stays to the byte."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from wbc.averaging import learning, update


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def test_the_average_follows_the_formula() -> None:
    model = network()
    average = AveragedModel(model)
    expected = model[0].weight.detach().clone()
    for count in range(200):
        with torch.no_grad():
            model[0].weight.add_(torch.randn_like(model[0].weight))
        update(average, learning(average.module, model), 0.9)
        decay = min(0.9, (1 + count) / (10 + count)) if count else 0.0
        expected = decay * expected + (1 - decay) * model[0].weight.detach()
        assert torch.allclose(average.module[0].weight, expected, atol=1e-5), count
    assert int(average.n_averaged) == 200


def test_frozen_layers_and_statistics_are_left_alone() -> None:
    model = network()
    model[0].requires_grad_(False)
    model[1].eval()
    average = AveragedModel(model)
    versions = [tensor._version for tensor in average.module[0].parameters()]
    update(average, learning(average.module, model), 0.9)
    update(average, learning(average.module, model), 0.9)
    assert [tensor._version for tensor in average.module[0].parameters()] == versions
    assert len(learning(model, model)) == 4  # weight and bias of batch norm and of the last layer
    model[1].train()
    assert len(learning(model, model)) == 7


def test_statistics_that_learn_are_averaged_and_batches_counted() -> None:
    model = network()
    average = AveragedModel(model)
    for _ in range(3):
        model(torch.randn(8, 3, 2, 2))
        update(average, learning(average.module, model), 0.5)
    mean = average.module[1].running_mean
    assert not torch.equal(mean, model[1].running_mean) and not torch.equal(mean, torch.zeros(4))
    assert average.module[1].num_batches_tracked == 3


def test_equal_tensors_stay_equal() -> None:
    model = network()
    average = AveragedModel(model)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(50):
        update(average, learning(average.module, model), 0.98)
    for old, new in zip(before, average.module.parameters(), strict=True):
        assert torch.equal(old, new)
