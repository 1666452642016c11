"""Joined convolutions answer as the parts they were made from, and only where that is meant."""

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.googlenet import BasicConv2d
from torchvision.models.resnet import BasicBlock
from torchvision.models.squeezenet import Fire

from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network
from wbc.folding import Part, fold
from wbc.joining import Joined, JoinedResidual, join

TOLERANCE = 1e-5  # of the largest value, where hardswish is in it; measured: up to 1e-6
ACTIVATIONS = [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardswish(), nn.SiLU()]
FAST = "mkldnn::_convolution_pointwise"
OPERATORS = {FAST, "aten::convolution", "aten::add_", "aten::relu", "aten::relu_"}


def run(parts: Sequence[Part], x: Tensor) -> Tensor:
    with torch.no_grad():
        for part in parts:
            x = part(x)
    return x


def both(*layers: nn.Module, channels: int = 16) -> tuple[list[Part], Tensor, Tensor]:
    """Joined copies, what they answer, and what the layers answer."""
    torch.manual_seed(0)
    folded = fold(nn.Sequential(*layers).eval().to(memory_format=torch.channels_last)).parts
    x = 20 * torch.randn(4, channels, 9, 9).contiguous(memory_format=torch.channels_last)
    expected = run(copy.deepcopy(folded), x.clone(memory_format=torch.preserve_format))
    joined = join(folded)
    answer = run(joined, x.clone(memory_format=torch.preserve_format))
    return joined, answer, expected


def kinds(parts: Sequence[Part]) -> list[str]:
    return [type(part).__name__ for part in parts]


def passes(parts: Sequence[Part], x: Tensor) -> set[str]:
    """Names of the operators that write to the memory."""
    with torch.profiler.profile() as seen:
        run(parts, x)
    return {event.key for event in seen.key_averages()} & OPERATORS


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_an_activation_is_joined_to_what_was_applied_before_it(activation: nn.Module) -> None:
    layers = nn.Conv2d(16, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), activation
    joined, answer, expected = both(*layers)
    if isinstance(activation, nn.SiLU):
        assert kinds(joined) == ["Conv2d", "Identity", "SiLU"]
    else:
        assert kinds(joined) == ["Joined", "Identity", "Identity"]
    assert torch.allclose(answer, expected, rtol=0, atol=TOLERANCE * float(expected.max()))
    if not isinstance(activation, nn.Hardswish):
        assert torch.equal(answer, expected)


def test_what_is_not_right_after_a_convolution_stays() -> None:
    conv, pool = nn.Conv2d(16, 16, 1), nn.MaxPool2d(2)
    joined, answer, expected = both(nn.ReLU(), conv, pool, nn.ReLU(), nn.ReLU())
    assert kinds(joined) == ["ReLU", "Conv2d", "MaxPool2d", "ReLU", "ReLU"]
    assert torch.equal(answer, expected)
    joined, answer, expected = both(conv, nn.ReLU(), nn.ReLU6(), conv, nn.Hardswish())
    assert kinds(joined) == ["Joined", "Identity", "ReLU6", "Joined", "Identity"]
    assert torch.allclose(answer, expected, rtol=0, atol=TOLERANCE * float(expected.max()))


@pytest.mark.parametrize(
    "block",
    [
        nn.Sequential(nn.Conv2d(16, 16, 5, padding=4, dilation=2, groups=16), nn.ReLU()),
        BasicConv2d(16, 24, kernel_size=3, padding=1),
        Fire(16, 8, 24, 32),
        BasicBlock(16, 16),
        BasicBlock(
            16, 32, 2, nn.Sequential(nn.Conv2d(16, 32, 1, 2, bias=False), nn.BatchNorm2d(32))
        ),
    ],
    ids=["depthwise", "googlenet", "squeezenet", "resnet", "resnet's first"],
)
def test_blocks_are_joined_inside_to_the_same_numbers(block: nn.Module) -> None:
    joined, answer, expected = both(block)
    assert torch.equal(answer, expected)
    (whole,) = joined
    assert isinstance(whole, nn.Module)
    layers = list(whole.modules())
    assert any(isinstance(layer, Joined | JoinedResidual) for layer in layers)
    x = torch.randn(4, 16, 9, 9).contiguous(memory_format=torch.channels_last)
    shortcut = {"aten::convolution"} if getattr(block, "downsample", None) else set()
    assert passes(joined, x) == {FAST} | shortcut


def test_the_same_bytes_twice_on_two_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    net = Network("mobilenet_v3_large", 0.0, frozen_batch_norm=True).eval()
    net.to(memory_format=torch.channels_last).unfreeze("upper")
    images = torch.rand(4, 3, 96, 96)
    once, again = net.frozen(images), net.frozen(images)
    torch.set_num_threads(before)
    assert torch.equal(once, again)


@pytest.mark.parametrize(
    "block", [nn.Sequential(nn.Conv2d(16, 16, 3), nn.ReLU()), BasicBlock(16, 16)]
)
def test_half_precision_other_types_and_gradients_take_the_parts(block: nn.Module) -> None:
    plain, images = fold([block.eval()]).parts, torch.randn(2, 16, 9, 9)
    joined = join(copy.deepcopy(plain))
    with torch.autocast("cpu", torch.bfloat16):
        answer, expected = run(joined, images), run(plain, images)
    assert answer.dtype == torch.bfloat16 and torch.equal(answer, expected)
    (whole,) = joined
    x = images.clone().requires_grad_()
    whole(x).sum().backward()
    assert x.grad is not None and x.grad.abs().max() > 0
    assert isinstance(whole, nn.Module)
    whole.double()
    assert run(joined, images.double()).dtype == torch.float64


def test_without_onednn_the_parts_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, x = join([nn.Conv2d(16, 16, 3), nn.ReLU()]), torch.randn(2, 16, 9, 9)
    assert passes(parts, x) == {FAST}
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert FAST not in passes(parts, x)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_weight_that_is_no_number_shows_in_the_features(value: float) -> None:
    net = Network("resnet18", 0.0, frozen_batch_norm=True).eval()
    net.unfreeze("upper")
    with torch.no_grad():
        net.net.conv1.weight[0, 0, 0, 0] = value
    assert not net.frozen(torch.rand(1, 3, 64, 64)).isfinite().all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_on_cpus_networks_join_what_is_frozen_below_layers_that_learn(name: str) -> None:
    net = Network(name, 0.0, frozen_batch_norm=True)
    net.unfreeze("upper")
    assert is_joined(net) is (name != "efficientnet_b0")  # whose activation is silu
    assert not is_joined(copy.deepcopy(net).to("meta"))
    net.freeze()  # to answer, or to refuse that with what is no number
    assert not is_joined(net)


def is_joined(net: Network) -> bool:
    layers = [m for part in net._trunk() if isinstance(part, nn.Module) for m in part.modules()]
    return any(isinstance(layer, Joined | JoinedResidual) for layer in layers)
