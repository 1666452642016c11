"""The networks: torchvision's, with a new five-class head, cut into named blocks.

A `Network` keeps torchvision's module, so its state dict has torchvision's names, and walks it as
a list of blocks. Everything below `first_trained` is the trunk: it runs in eval mode without
gradient, and its tensors stay byte-equal to the weights it was started from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from wbc.cells import CLASSES
from wbc.depthwise import with_fast_gradients
from wbc.errors import UserError
from wbc.folding import Folded, Part, autocast_type, fold
from wbc.joining import join
from wbc.uncompiled import without_compiler

with without_compiler():
    import torchvision.models as tv

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Block:
    """Modules or functions that are applied one after the other, and what to call them."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Architecture:
    """What is particular to a network.

    `head` is the dotted name of the layer that answers; `upper` names the first block that
    `unfreeze: upper` trains: the blocks of the last resolution, 7x7 at 224 pixels (in SqueezeNet,
    which has no such stage, the last fires). `most` names the first that `unfreeze: most` trains:
    28x28 (27x27 in SqueezeNet) and coarser; edges and colours stay as they were pretrained.
    """

    build: Callable[..., nn.Module]
    blocks: Callable[[Any], list[Block]]
    head: str
    most: str
    upper: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    # What a file may hold and is left behind: auxiliary classifiers (fine-tuning trains the main
    # head only), and heads of another name.
    dropped: tuple[str, ...] = ()


def _flatten(x: Tensor) -> Tensor:
    return torch.flatten(x, 1)


def _mean_pool(x: Tensor) -> Tensor:
    return x.mean([2, 3])


def _named(net: nn.Module, *names: str) -> list[Block]:
    return [Block(name, (net.get_submodule(name),)) for name in names]


def _features(net: Any) -> list[Block]:
    return [Block(f"features.{i}", (layer,)) for i, layer in enumerate(net.features)]


def _googlenet_blocks(net: tv.GoogLeNet) -> list[Block]:
    trunk = "conv1 maxpool1 conv2 conv3 maxpool2 inception3a inception3b maxpool3 inception4a"
    upper = "inception4b inception4c inception4d inception4e maxpool4 inception5a inception5b"
    head = Block("head", (net.avgpool, _flatten, net.dropout, net.fc))
    return [*_named(net, *trunk.split(), *upper.split()), head]


def _resnet_blocks(net: tv.ResNet) -> list[Block]:
    stem = Block("stem", (net.conv1, net.bn1, net.relu, net.maxpool))
    head = Block("head", (net.avgpool, _flatten, net.fc))
    return [stem, *_named(net, "layer1", "layer2", "layer3", "layer4"), head]


def _features_blocks(net: Any) -> list[Block]:
    """MobileNets and EfficientNet: numbered features, average pool, classifier."""
    hidden, last = list(net.classifier[:-2]), list(net.classifier[-2:])
    pooled = Block("pool", (net.avgpool, _flatten, *hidden))
    return [*_features(net), pooled, Block("head", tuple(last))]


def _mobilenet_v2_blocks(net: tv.MobileNetV2) -> list[Block]:
    return [*_features(net), Block("head", (_mean_pool, *net.classifier))]


def _squeezenet_blocks(net: tv.SqueezeNet) -> list[Block]:
    # torchvision ends in a ReLU, under which a logit can die at 0; five classes need none.
    dropout, conv, _, pool = net.classifier
    return [*_features(net), Block("head", (dropout, conv, pool, _flatten))]


def _shufflenet_blocks(net: tv.ShuffleNetV2) -> list[Block]:
    names = ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5")
    return [*_named(net, *names), Block("head", (_mean_pool, net.fc))]


def _with_dropout(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """ResNet and ShuffleNet come without dropout before `fc`."""

    def built(num_classes: int, dropout: float) -> nn.Module:
        net: Any = build(weights=None, num_classes=num_classes)
        net.fc = nn.Sequential(nn.Dropout(dropout), net.fc)
        return net  # type: ignore[no-any-return]

    return built


class _Interleaving(tv.shufflenetv2.InvertedResidual):  # type: ignore[misc]
    """ShuffleNet's unit with its channels mixed where they lie, to the same numbers.

    torchvision's own mixing leaves channels_last, and every convolution after it turns the whole
    batch round again.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            kept, x = x.chunk(2, dim=1)
        else:
            kept = self.branch1(x)
        halves = [half.permute(0, 2, 3, 1) for half in (kept, self.branch2(x))]
        return torch.stack(halves, dim=-1).flatten(3).permute(0, 3, 1, 2)


def _shufflenet(**options: Any) -> nn.Module:
    net: nn.Module = tv.shufflenet_v2_x1_0(**options)
    for module in net.modules():
        if isinstance(module, tv.shufflenetv2.InvertedResidual):
            module.__class__ = _Interleaving  # the same tensors under the same names
    return net


def _plain(build: Callable[..., nn.Module], **fixed: Any) -> Callable[..., nn.Module]:
    def built(num_classes: int, dropout: float) -> nn.Module:
        return build(weights=None, num_classes=num_classes, dropout=dropout, **fixed)

    return built


# torchvision maps ImageNet-normalised pixels to (x - 0.5) / 0.5 inside GoogLeNet
# (`transform_input`); here the pixels are normalised that way at once.
ARCHITECTURES: Mapping[str, Architecture] = {
    "googlenet": Architecture(
        build=_plain(tv.googlenet, aux_logits=False, init_weights=False, transform_input=False),
        blocks=_googlenet_blocks,
        head="fc",
        most="inception3a",
        upper="inception5a",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        dropped=("aux1.", "aux2."),
    ),
    "mobilenet_v2": Architecture(
        _plain(tv.mobilenet_v2), _mobilenet_v2_blocks, "classifier.1", "features.4", "features.14"
    ),
    "mobilenet_v3_small": Architecture(
        _plain(tv.mobilenet_v3_small), _features_blocks, "classifier.3", "features.2", "features.9"
    ),
    "mobilenet_v3_large": Architecture(
        _plain(tv.mobilenet_v3_large), _features_blocks, "classifier.3", "features.4", "features.13"
    ),
    "efficientnet_b0": Architecture(
        _plain(tv.efficientnet_b0), _features_blocks, "classifier.1", "features.3", "features.6"
    ),
    "squeezenet1_0": Architecture(
        _plain(tv.squeezenet1_0), _squeezenet_blocks, "classifier.1", "features.6", "features.9"
    ),
    "squeezenet1_1": Architecture(
        _plain(tv.squeezenet1_1), _squeezenet_blocks, "classifier.1", "features.5", "features.9"
    ),
    "shufflenet_v2_x1_0": Architecture(
        _with_dropout(_shufflenet), _shufflenet_blocks, "fc.1", "stage2", "stage4", dropped=("fc.",)
    ),
    "resnet18": Architecture(
        _with_dropout(tv.resnet18), _resnet_blocks, "fc.1", "layer2", "layer4", dropped=("fc.",)
    ),
}

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
        x = (images - self.mean) / self.std
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
