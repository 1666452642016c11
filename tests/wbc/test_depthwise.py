"""Depthwise 5x5 convolutions learn as the library's do, and only where that is faster."""

import copy

import pytest
import torch
from torch import Tensor, nn

from wbc.backbones import Network
from wbc.depthwise import Depthwise, with_fast_gradients

TOLERANCE = 1e-5  # of the largest value; measured: up to 2e-6
LAST = torch.channels_last


def convolution(channels: int = 24, side: int = 5, **options: int) -> nn.Conv2d:
    torch.manual_seed(0)
    options = {"padding": side // 2, "groups": channels} | options
    conv = nn.Conv2d(channels, channels, side, bias=False, **options)
    return conv.to(memory_format=LAST)


def gradients(conv: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Answer and gradients of input and weights, for a loss that tells all places apart."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    conv.weight.grad = None
    answer = conv(x)
    towards = torch.linspace(-1, 1, answer.numel()).view_as(answer)
    (answer * towards).sum().backward()
    assert x.grad is not None and conv.weight.grad is not None
    return answer.detach(), x.grad, conv.weight.grad


def runs_fast(conv: nn.Conv2d, x: Tensor) -> bool:
    return "Columns" in type(conv(x).grad_fn).__name__


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 7), (14, 9), (9, 14), (1, 1), (2, 3)])
def test_answers_and_gradients_are_the_library_s(size: tuple[int, int], stride: int) -> None:
    plain = convolution(stride=stride)
    fast = with_fast_gradients(copy.deepcopy(plain))
    x = torch.rand(3, 24, *size).contiguous(memory_format=LAST)
    assert runs_fast(fast, x)
    (answer, of_x, of_weight), expected = gradients(fast, x), gradients(plain, x)
    assert torch.equal(answer, expected[0]) and torch.equal(of_x, expected[1])
    assert torch.allclose(of_weight, expected[2], rtol=0, atol=TOLERANCE * expected[2].abs().max())


def test_the_same_bytes_twice_on_two_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    fast = with_fast_gradients(convolution(576))
    x = torch.rand(16, 576, 7, 7).contiguous(memory_format=LAST)
    once, again = gradients(fast, x), gradients(fast, x)
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_a_gradient_can_be_asked_of_the_weights_alone() -> None:
    fast = with_fast_gradients(convolution())
    fast(torch.rand(2, 24, 7, 7).contiguous(memory_format=LAST)).sum().backward()
    assert fast.weight.grad is not None


@pytest.mark.parametrize(
    "other",
    [
        convolution(side=3, padding=2),
        convolution(padding=1),
        convolution(dilation=2),
        convolution(groups=1),
        nn.Conv2d(24, 48, 5, padding=2, groups=24, bias=False),
        nn.Conv2d(24, 24, 5, padding=2, groups=24),
    ],
)
def test_other_convolutions_stay(other: nn.Conv2d) -> None:
    assert type(with_fast_gradients(other)) is nn.Conv2d


def test_other_layouts_types_and_what_does_not_learn_take_the_library_s_way() -> None:
    fast = with_fast_gradients(convolution())
    x = torch.rand(2, 24, 7, 7)
    last = x.contiguous(memory_format=LAST)
    assert runs_fast(fast, last) and not runs_fast(fast, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not runs_fast(fast, last)
    with torch.no_grad():
        assert fast(last).grad_fn is None
    assert not runs_fast(copy.deepcopy(fast).double(), last.double())
    fast.requires_grad_(False)
    assert not runs_fast(fast, last.requires_grad_())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_takes_the_library_s_way() -> None:
    fast = with_fast_gradients(convolution()).cuda()
    assert not runs_fast(fast, torch.rand(2, 24, 7, 7).cuda().contiguous(memory_format=LAST))


@pytest.mark.parametrize(
    ("name", "count"),
    [("mobilenet_v3_small", 8), ("mobilenet_v3_large", 6), ("efficientnet_b0", 9), ("resnet18", 0)],
)
def test_the_networks_have_them(name: str, count: int) -> None:
    modules = list(Network(name, 0.0, frozen_batch_norm=True).modules())
    assert sum(isinstance(module, Depthwise) for module in modules) == count


def test_a_network_s_gradients_are_the_plain_one_s() -> None:
    torch.manual_seed(0)
    ours = Network("mobilenet_v3_small", 0.0, frozen_batch_norm=True)
    ours.to(memory_format=LAST).train().unfreeze("upper")
    plain = copy.deepcopy(ours)
    for module in plain.modules():
        if isinstance(module, Depthwise):
            module.__class__ = nn.Conv2d
    images, labels = torch.rand(4, 3, 96, 96), torch.tensor([0, 1, 2, 3])
    losses = [nn.functional.cross_entropy(net(images), labels) for net in (ours, plain)]
    assert losses[0].item() == losses[1].item()
    for loss in losses:
        loss.backward()
    for own, other in zip(ours.parameters(), plain.parameters(), strict=True):
        assert (own.grad is None) == (other.grad is None)
        if own.grad is not None and other.grad is not None:
            atol = TOLERANCE * float(other.grad.abs().max())
            assert torch.allclose(own.grad, other.grad, rtol=0, atol=atol)
