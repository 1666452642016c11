"""A classifier as one graph: squares of pixels in, logits and features out."""

from typing import Final

import torch
from torch import Tensor, nn

from wbc.backbones import Network
from wbc.folding import Part, fold
from wbc.model import Card, Classifier

INPUT: Final = "squares"
OUTPUTS: Final = ("logits", "features")


class Whole(nn.Module):
    """What `wbc.model.Classifier.outputs` computes, with nothing left to do outside.

    Batch norm is folded into the convolutions, so that only folded weights are in the file, once.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        network, card = classifier.network, classifier.card
        parts = [part for block in network.blocks for part in block.parts]
        self.parts = fold(parts).parts
        self.layers = nn.ModuleList(part for part in self.parts if isinstance(part, nn.Module))
        self.layers.to(memory_format=torch.contiguous_format)
        self.head = _position_of_head(network, parts)
        self.mean: Tensor
        self.std: Tensor
        self.added: Tensor
        self.register_buffer("mean", network.mean.clone())
        self.register_buffer("std", network.std.clone())
        added = torch.tensor(card["log_prior"]) + torch.tensor(card.get("offsets", 0.0))
        self.register_buffer("added", added)
        self.eval()

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and features (N, D) of squares (N, S, S, 3), uint8, RGB."""
        images = squares.permute(0, 3, 1, 2).float() / 255
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        for part in self.parts[: self.head]:
            x = part(x)
        features = x if x.dim() == 2 else x.mean([2, 3])
        for part in self.parts[self.head :]:
            x = part(x)
        return x + self.added, features


def example_of(card: Card) -> Tensor:
    """Squares to trace a graph with; a batch of one would be taken for a constant."""
    size = int(card["input"]["size"])
    return torch.zeros(2, size, size, 3, dtype=torch.uint8)


def program_of(network: Whole, example: Tensor) -> torch.export.ExportedProgram:
    """The graph for any number of squares of that size, on the CPU.

    It is free of where it was made: torch notes files and lines of every step, which go.
    """
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(network, (example,), dynamic_shapes={INPUT: {0: batch}})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _position_of_head(network: Network, parts: list[Part]) -> int:
    """Of the part that holds the head's last layer, before which the features are read."""
    layer = network.net.get_submodule(network.architecture.head)
    holds = (isinstance(part, nn.Module) and layer in part.modules() for part in parts)
    return list(holds).index(True)
