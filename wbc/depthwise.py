"""Depthwise 5x5 convolutions that learn on a CPU: their weights' gradient in a third of the time.

oneDNN computes this gradient with a kernel for depthwise convolutions up to three columns wide;
for wider ones it takes the one for dense convolutions, whose blocks of 16x16 channels are zero but
for the diagonal. So five columns are computed here as three and two. Each sum has the same terms,
in another order.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_Stride = tuple[int, ...]
_SIDE, _PADDING = 5, 2
_FIRST = 3  # columns: as many as the fast kernel takes


class Depthwise(nn.Conv2d):
    """A depthwise 5x5 convolution that gives what nn.Conv2d gives, gradients but for rounding."""

    def forward(self, x: Tensor) -> Tensor:
        if _is_fast(x, self.weight):
            return _Columns.apply(x, self.weight, self.stride)  # type: ignore[no-any-return]
        return super().forward(x)


def with_fast_gradients(net: nn.Module) -> nn.Module:
    """`net` itself, its depthwise 5x5 convolutions made `Depthwise`; the state dict stays."""
    for module in net.modules():
        if type(module) is nn.Conv2d and _is_meant(module):
            module.__class__ = Depthwise
    return net


def _is_meant(conv: nn.Conv2d) -> bool:
    geometry = (conv.kernel_size, conv.padding, conv.dilation)
    return (
        geometry == ((_SIDE, _SIDE), (_PADDING, _PADDING), (1, 1))
        and conv.groups == conv.in_channels == conv.out_channels
        and conv.bias is None
    )


def _is_fast(x: Tensor, weight: Tensor) -> bool:
    return (
        weight.requires_grad
        and torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
        and not torch.is_autocast_enabled("cpu")
    )


class _Columns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: _Stride) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, stride=stride, padding=_PADDING, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, _ = ctx.needs_input_grad
        given = gradients[0], ctx.stride
        return (
            _backward(x, weight, *given, _PADDING, needs_x=True)[0] if needs_x else None,
            _weights_gradient(x, weight, *given) if needs_weight else None,
            None,
        )


def _weights_gradient(x: Tensor, weight: Tensor, gradient: Tensor, stride: _Stride) -> Tensor:
    """Zeros are put beside `x` so that each group of columns meets all that it would have met."""
    left = F.pad(x, (_PADDING, 0))
    right = F.pad(x[..., _FIRST - _PADDING :], (0, _PADDING))
    columns = (left, weight[..., :_FIRST]), (right, weight[..., _FIRST:])
    parts = [_backward(*pair, gradient, stride, 0, needs_x=False)[1] for pair in columns]
    return torch.cat(parts, dim=3)


def _backward(
    x: Tensor, weight: Tensor, gradient: Tensor, stride: _Stride, padding: int, needs_x: bool
) -> tuple[Tensor, Tensor]:
    """The library's: either the input's gradient or the weights'. `padding` is the columns'."""
    given: tuple[Tensor, Tensor, Tensor | None] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, [_PADDING, padding], [1, 1], False, [0, 0],
        len(weight), [needs_x, not needs_x, False],
    )  # fmt: skip
    return given[0], given[1]
