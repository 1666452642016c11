"""Folded layers answer as the plain ones do, for every network, and never with an old state."""

import pytest
import torch
from torch import Tensor, nn

from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network, Unfreeze, _chain, _parts
from wbc.folding import fold

NAMES = tuple(ARCHITECTURES)
TOLERANCE = 1e-5  # of the largest value; measured: up to 1.4e-6


def network(name: str) -> Network:
    """With batch-norm statistics that are no identity, as after pretraining."""
    torch.manual_seed(0)
    net = Network(name, dropout=0.0, frozen_batch_norm=True)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.1)
            nn.init.normal_(module.bias, 0, 0.1)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.train()


def plain(net: Network, images: Tensor, num_blocks: int) -> Tensor:
    x = (images - net.mean) / net.std
    for block in net.blocks[:num_blocks]:
        for part in block.parts:
            x = part(x)
    return x


@pytest.mark.parametrize("name", NAMES)
def test_a_folded_trunk_gives_the_losses_of_the_plain_one(name: str) -> None:
    net = network(name)
    net.unfreeze("upper")
    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
    losses, gradients = [], []
    for answer in (net, lambda x: plain(net, x, len(net.blocks))):
        torch.manual_seed(1)  # stochastic depth
        loss = nn.functional.cross_entropy(answer(images), labels)
        losses.append(loss.item())
        net.zero_grad()
        loss.backward()
        gradients.append([p.grad.clone() for p in net.head_parameters() if p.grad is not None])
    assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)
    assert gradients[0]
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=TOLERANCE * float(theirs.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_network_is_folded_whole_and_answers_alike(name: str) -> None:
    net, images = network(name), torch.rand(2, 3, 64, 64)
    keys = list(net.state_dict())
    net.freeze()
    answers = net(images)
    assert not answers.requires_grad
    with torch.no_grad():
        expected = plain(net, images, len(net.blocks))
    assert torch.allclose(answers, expected, atol=TOLERANCE * float(expected.abs().max()))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers_of(net))
    assert list(net.state_dict()) == keys


@pytest.mark.parametrize("what", ["head", "upper"])
def test_a_state_loaded_later_counts(what: Unfreeze) -> None:
    net, images = network("resnet18"), torch.rand(2, 3, 64, 64)
    net.unfreeze(what)
    before = net(images)
    state = {k: v * 1.1 if v.is_floating_point() else v for k, v in net.net.state_dict().items()}
    net.net.load_state_dict(state)
    after = net(images)
    assert not torch.allclose(before, after)
    expected = plain(net, images, len(net.blocks))
    assert torch.allclose(after, expected, atol=TOLERANCE * float(expected.abs().max()))


def test_another_type_or_device_counts() -> None:
    net, images = network("squeezenet1_1").double(), torch.rand(2, 3, 64, 64).double()
    net.freeze()
    assert net(images).dtype == torch.float64
    assert net.float()(images.float()).dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_in_half_precision_weights_are_cast_once_to_the_same_numbers(name: str) -> None:
    net, images = network(name), torch.rand(2, 3, 64, 64)
    net.unfreeze("upper")
    full = net.frozen(images)
    folded = fold(_parts(net.blocks[: net.first_trained])).parts  # autocast casts them each time
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = _chain(folded, net._normalised(images))
        found, layers = net.frozen(images), layers_of(net)
    assert expected.dtype == torch.bfloat16 and torch.equal(found, expected)
    casts = [layer.weight.dtype for layer in layers if isinstance(layer, nn.Conv2d)]
    assert casts and set(casts) == {torch.bfloat16}
    assert torch.equal(net.frozen(images), full)  # and back in 32 bits


def layers_of(net: Network) -> list[nn.Module]:
    """All layers of the folded trunk."""
    return [m for part in net._trunk() if isinstance(part, nn.Module) for m in part.modules()]
