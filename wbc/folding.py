"""Frozen layers made cheaper: batch norm with fixed statistics becomes part of its convolution.

w * gamma / sqrt(var + eps) and its bias do what convolution and normalisation do one after the
other (Ioffe and Szegedy 2015, section 3.1), equal but for rounding.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Part = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Folded:
    """Folded copies, to be applied one after the other, and what they were made from.

    No module, so that a network which holds it keeps its own state dict.
    """

    parts: list[Part]
    half: torch.dtype | None
    sources: list[Tensor]
    versions: list[int]

    def is_for(self, half: torch.dtype | None) -> bool:
        """Whether they were made for this type, and no tensor has been written to since."""
        return half == self.half and [t._version for t in self.sources] == self.versions


def fold(parts: Sequence[Part], half: torch.dtype | None = None) -> Folded:
    """Copies of `parts` without batch norm after convolutions, in eval mode, without gradient.

    A batch norm belongs to the convolution that was registered right before it, as in all of
    torchvision's networks; functions among the parts stay.

    Args:
        half: the type in which torch.autocast will run them, if it will. It would cast the weights
            at every call; here they are cast once, to the same numbers.
    """
    modules = [part for part in parts if isinstance(part, nn.Module)]
    sources = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    copies = nn.ModuleList(copy.deepcopy(modules)).eval().requires_grad_(False)
    _fold(copies)
    for layer in copies.modules():
        if half is not None and isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.to(half)
    rest = iter(copies)
    layers = [next(rest) if isinstance(part, nn.Module) else part for part in parts]
    return Folded(layers, half, sources, [tensor._version for tensor in sources])


def autocast_type(device: torch.device) -> torch.dtype | None:
    """What torch.autocast casts convolutions to at present, if it is on."""
    kind = device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return None
    return torch.get_autocast_dtype(kind)


def _fold(module: nn.Module) -> None:
    before: tuple[str, Any] = ("", None)
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and isinstance(before[1], nn.Conv2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
        else:
            _fold(child)
        before = name, child
