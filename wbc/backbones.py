"""A network that is fine-tuned: torchvision's, with a new five-class head, in named blocks.

A `Network` keeps torchvision's module, so its state dict has torchvision's names, and walks it as
a list of blocks. Everything below `first_trained` is the trunk: it runs in eval mode without
gradient, and its tensors stay byte-equal to the weights it was started from.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from wbc.architectures import ARCHITECTURES, Block
from wbc.cells import CLASSES
from wbc.depthwise import with_fast_gradients
from wbc.errors import UserError
from wbc.folding import Folded, Part, autocast_type, fold
from wbc.joining import join

Unfreeze = Literal["head", "upper", "most", "all"]


class Network(nn.Module):
    """A torchvision network as blocks: pixels in, five logits out.

    `frozen_batch_norm` keeps batch-norm statistics as they are also in layers that learn.
    """

    def __init__(self, architecture: str, dropout: float, frozen_batch_norm: bool) -> None:
        super().__init__()
        self.architecture = ARCHITECTURES[architecture]
        built = self.architecture.build(num_classes=len(CLASSES), dropout=dropout)
        self.net = with_fast_gradients(built)
        self.blocks = self.architecture.blocks(self.net)
        self.frozen_batch_norm = frozen_batch_norm
        self.first_trained = 0
        self._folded: Folded | None = None
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", _channels(self.architecture.mean), persistent=False)
        self.register_buffer("std", _channels(self.architecture.std), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 5) of images (N, 3, H, W) with values in 0..1."""
        return self.learned(self.frozen(images))

    def with_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, 5) of images (N, 3, H, W) in 0..1, and features (N, D), in one pass.

        Features are what the head's last layer sees; a head that is a convolution (SqueezeNet)
        sees a map, of which it is the mean over the places. The logits are `forward`'s, bit for
        bit.
        """
        if self.first_trained < len(self.blocks):
            raise ValueError("features are read from a frozen network")
        parts, head = self._trunk(), self._head_part()
        seen = _chain(parts[:head], self._normalised(images))
        features = seen if seen.dim() == 2 else seen.mean([2, 3])
        return _chain(parts[head:], seen), features

    def frozen(self, images: Tensor) -> Tensor:
        """What the blocks that do not learn make of images (N, 3, H, W) with values in 0..1."""
        x = self._normalised(images)
        if self.first_trained == 0:
            return x
        with torch.no_grad():
            return _chain(self._trunk(), x)

    def learned(self, features: Tensor, since: Unfreeze | None = None) -> Tensor:
        """Logits (N, 5) of what `frozen` gave, now or when `unfreeze(since)` held."""
        first = self._first(since) if since else self.first_trained
        return _chain(_parts(self.blocks[first:]), features)

    def unfreeze(self, what: Unfreeze) -> None:
        """Let the head, the upper blocks with it, most blocks, or everything learn."""
        self._freeze_below(self._first(what))

    def freeze(self) -> None:
        """Let nothing learn: the whole network in eval mode, and folded."""
        self._freeze_below(len(self.blocks))

    def _freeze_below(self, first: int) -> None:
        if first != self.first_trained:
            self.first_trained, self._folded = first, None
        self.requires_grad_(False)
        for module in self._modules_of(self.blocks[first:]):
            module.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Network":
        """Training mode for the blocks that learn only; frozen layers and statistics in eval."""
        super().train(False)
        self.training = mode
        for module in self._modules_of(self.blocks[self.first_trained :]):
            module.train(mode)
        if self.frozen_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.train(False)
        return self

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.net.get_submodule(self.architecture.head).parameters())

    def body_parameters(self, what: Unfreeze) -> list[nn.Parameter]:
        """The parameters that `unfreeze(what)` lets learn, without the head's."""
        head = {id(parameter) for parameter in self.head_parameters()}
        modules = self._modules_of(self.blocks[self._first(what) :])
        own = [parameter for module in modules for parameter in module.parameters()]
        return [parameter for parameter in own if id(parameter) not in head]

    def _apply(self, fn: Any, recurse: bool = True) -> "Network":
        """Every move to a device or another type comes through here, and ages the folded copy."""
        self._folded = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _normalised(self, images: Tensor) -> Tensor:
        x = images.sub(self.mean).div_(self.std)
        return x.contiguous(memory_format=torch.channels_last)

    def _head_part(self) -> int:
        """Position, among the parts of all blocks, of the one that holds the head's last layer."""
        layer = self.net.get_submodule(self.architecture.head)
        parts = _parts(self.blocks)
        holds = (isinstance(part, nn.Module) and layer in part.modules() for part in parts)
        return list(holds).index(True)

    def _trunk(self) -> list[Part]:
        """The frozen blocks, folded and, on CPUs below layers that learn, joined; anew where a
        state has been loaded into them since.
        """
        half = autocast_type(self.mean.device)
        if self._folded is None or not self._folded.is_for(half):
            self._folded = fold(_parts(self.blocks[: self.first_trained]), half)
            in_32_bit_on_a_cpu = half is None and self.mean.device.type == "cpu"
            if in_32_bit_on_a_cpu and self.first_trained < len(self.blocks):
                self._folded = replace(self._folded, parts=join(self._folded.parts))
        return self._folded.parts

    def _first(self, what: Unfreeze) -> int:
        names = [block.name for block in self.blocks]
        own = {"head": "head", "upper": self.architecture.upper, "most": self.architecture.most}
        return names.index(own[what]) if what in own else 0

    def _modules_of(self, blocks: list[Block]) -> list[nn.Module]:
        return [part for block in blocks for part in block.parts if isinstance(part, nn.Module)]


def load_start(network: Network, state: Mapping[str, Tensor], origin: str) -> None:
    """Fill everything but the head from a torchvision state dict (1000-class or our own head).

    Raises:
        UserError: `state` belongs to another network.
    """
    architecture = network.architecture
    head = (f"{architecture.head}.weight", f"{architecture.head}.bias")
    wanted = {k: v for k, v in network.net.state_dict().items() if k not in head}
    given = {k: v for k, v in state.items() if k not in head}
    given = {k: v for k, v in given.items() if not k.startswith(architecture.dropped or ("\0",))}
    counters = {k for k in wanted if k.endswith("num_batches_tracked")}  # absent in old files
    wrong = sorted((set(wanted) ^ set(given)) - counters)
    wrong += sorted(k for k in set(wanted) & set(given) if wanted[k].shape != given[k].shape)
    if wrong:
        raise UserError(
            f"{origin} does not fit the network: {len(wrong)} tensors differ, {wrong[0]} first;"
            " give a file in torchvision's format for this very network."
        )
    network.net.load_state_dict(given, strict=False)


def _parts(blocks: list[Block]) -> list[Part]:
    return [part for block in blocks for part in block.parts]


def _chain(parts: list[Part], x: Tensor) -> Tensor:
    for part in parts:
        x = part(x)
    return x


def _channels(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)
