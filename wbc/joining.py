"""Frozen convolutions and what follows them in one pass over the memory, on CPUs.

oneDNN applies an activation to each value before it is written, and adds the shortcut of a residual
block too, where torch reads and writes the whole map once more for either. The values are the same,
hardswish's but for rounding; but what is no number becomes 0 under oneDNN's ReLU and stays under
torch's. So this is for layers below others that learn, not for a network whose answers are to be
refused then.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from wbc.folding import Part
from wbc.uncompiled import without_compiler

with without_compiler():
    from torchvision.models.googlenet import BasicConv2d
    from torchvision.models.resnet import BasicBlock
    from torchvision.models.squeezenet import Fire

_MKLDNN: Any = torch.backends.mkldnn
# oneDNN's names and numbers. It has silu as well, which it computes no faster than torch.
_ACTIVATIONS: Final[dict[type[nn.Module], tuple[str, list[float]]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
}


class Joined(nn.Module):
    """A convolution and its activation."""

    def __init__(self, conv: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self.activation = conv, activation
        self.name, self.numbers = _ACTIVATIONS[type(activation)]

    def forward(self, x: Tensor) -> Tensor:
        if not _is_fast(x, self.conv):
            return self.activation(self.conv(x))  # type: ignore[no-any-return]
        run = torch.ops.mkldnn._convolution_pointwise
        return run(  # type: ignore[no-any-return]
            x, *_arguments(self.conv), self.name, self.numbers, None
        )


class JoinedResidual(nn.Module):
    """ResNet's block of two convolutions, each with its ReLU, the second with the sum too."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.first = Joined(block.conv1, block.relu)
        self.second, self.relu, self.downsample = block.conv2, block.relu, block.downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.first(x)
        if not _is_fast(y, self.second):
            y = self.second(y)
            y += shortcut  # in y's own type, as torchvision does it
            return self.relu(y)  # type: ignore[no-any-return]
        run = torch.ops.mkldnn._convolution_pointwise.binary
        return run(  # type: ignore[no-any-return]
            y, shortcut, *_arguments(self.second), "add", None, "relu", [], None
        )


def join(parts: Sequence[Part]) -> list[Part]:
    """`parts` with convolutions joined to what follows, or as they are if a weight is no number.

    They are changed themselves: give the copies that `wbc.folding.fold` made.
    """
    modules = [part for part in parts if isinstance(part, nn.Module)]
    if not all(bool(t.isfinite().all()) for module in modules for t in module.parameters()):
        return list(parts)
    return _row([_inside(part) if isinstance(part, nn.Module) else part for part in parts])


def _inside(module: Any) -> nn.Module:
    """`module` with all that it holds joined, or what takes its place."""
    for name, child in list(module.named_children()):
        setattr(module, name, _inside(child))
    if isinstance(module, BasicConv2d):
        return Joined(module.conv, nn.ReLU(inplace=True))
    if isinstance(module, BasicBlock):
        return JoinedResidual(module)
    if isinstance(module, Fire):
        for name in ("squeeze", "expand1x1", "expand3x3"):
            pair = getattr(module, name), getattr(module, f"{name}_activation")
            _put(module, (name, f"{name}_activation"), _row(pair))
    elif isinstance(module, nn.Sequential):
        names = [name for name, _ in module.named_children()]
        _put(module, names, _row(list(module)))
    return module  # type: ignore[no-any-return]


def _put(module: nn.Module, names: Sequence[str], parts: Sequence[Part]) -> None:
    for name, part in zip(names, parts, strict=True):
        setattr(module, name, part)


def _row(parts: Sequence[Part]) -> list[Part]:
    """As many parts that are applied one after the other, an activation's place left empty."""
    row: list[Part] = []
    last = 0  # position of what was applied last
    for i, part in enumerate(parts):
        before = row[last] if row else None
        if isinstance(before, nn.Conv2d) and type(part) in _ACTIVATIONS:
            row[last] = Joined(before, part)  # type: ignore[arg-type]
            part = nn.Identity()
        row.append(part)
        if not isinstance(part, nn.Identity):
            last = i
    return row


def _is_fast(x: Tensor, conv: nn.Conv2d) -> bool:
    return (
        _MKLDNN.is_available()
        and x.device.type == "cpu"
        and x.dtype == conv.weight.dtype == torch.float32
        and not (torch.is_grad_enabled() and x.requires_grad)
        and not torch.is_autocast_enabled("cpu")
    )


def _arguments(conv: nn.Conv2d) -> tuple[Any, ...]:
    geometry: tuple[Any, ...] = conv.padding, conv.stride, conv.dilation
    return conv.weight, conv.bias, *geometry, conv.groups
