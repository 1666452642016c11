"""torchvision's networks: how each is built, cut into named blocks, and what a head is.

A block of a higher number sees what the ones before it made; `upper` and `most` say from which on a
fine-tuning trains.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wbc.folding import Part
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
