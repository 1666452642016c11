"""Frozen layers made cheaper: batch norm with fixed statistics becomes part of its convolution.

w * gamma / sqrt(var + eps) and its bias do what convolution and normalisation do one after the
other (Ioffe and Szegedy 2015, section 3.1), equal but for rounding.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Part = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Folded:
    """Folded copies, to be applied one after the other, and what they were made from.

    No module, so that a network which holds it keeps its own state dict.
    """

    parts: list[Part]
    sources: list[Tensor]
    versions: list[int]

    def is_outdated(self) -> bool:
        """Whether a tensor has been written to since."""
        return [tensor._version for tensor in self.sources] != self.versions


def fold(parts: Sequence[Part]) -> Folded:
    """Copies of `parts` without batch norm after convolutions, in eval mode, without gradient.

    A batch norm belongs to the convolution that was registered right before it, as in all of
    torchvision's networks; functions among the parts stay.
    """
    modules = [part for part in parts if isinstance(part, nn.Module)]
    sources = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    copies = nn.ModuleList(copy.deepcopy(modules)).eval().requires_grad_(False)
    _fold(copies)
    rest = iter(copies)
    layers = [next(rest) if isinstance(part, nn.Module) else part for part in parts]
    return Folded(layers, sources, [tensor._version for tensor in sources])


def _fold(module: nn.Module) -> None:
    before: tuple[str, Any] = ("", None)
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and isinstance(before[1], nn.Conv2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
        else:
            _fold(child)
        before = name, child
