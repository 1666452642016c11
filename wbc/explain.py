"""Grad-CAM: which places of a picture a network's decision rests on, and which cells to show.

Selvaraju et al. 2017 (arXiv 1610.02391, eq. 1 and 2): the last feature map that still has places,
each channel weighted by the mean gradient of the class's logit, summed, negative sums cut off.
A network here is a list of blocks, so it is cut before its pooling and needs no hooks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from wbc.architectures import Block
from wbc.backbones import Network
from wbc.cells import CLASSES
from wbc.metrics import class_indices, decided_probability
from wbc.model import Classifier
from wbc.pixels import Pixels, PixelStore

KINDS: Final = ("correct", "wrong", "near-threshold")
WITHOUT_PLACES: Final = ("pool", "head")  # blocks whose output is no map
BATCH: Final = 16  # cells a step; gradients need memory


@dataclass(frozen=True)
class Explained:
    """Chosen cells with their squares (n, S, S, 3) and Grad-CAM maps (n, S, S) of the decision.

    `cells` are rows of predictions.csv with `kind` (one of KINDS).
    """

    cells: pd.DataFrame
    pixels: Pixels
    maps: NDArray[np.float32]

    def of_kind(self, kind: str) -> "Explained":
        rows = np.flatnonzero(self.cells["kind"] == kind)
        return Explained(self.cells.iloc[rows], self.pixels[rows], self.maps[rows])


def has_gradcam(classifier: object) -> bool:
    """Whether the classifier is a network; the classical one has no feature maps."""
    return isinstance(getattr(classifier, "network", None), Network)


def explain(
    classifier: Classifier, store: PixelStore, predictions: pd.DataFrame, num_each: int = 3
) -> Explained:
    """At most `num_each` cells of every class and kind, tests first, with the decision's map.

    `predictions` is the whole of predictions.csv of this classifier on this store.
    """
    sets = preferred_sets(list(dict.fromkeys(predictions["set"])))
    cells = choose(predictions, classifier.card["log_prior"], sets, num_each)
    squares = read(store, cells)
    return Explained(cells, squares, grad_cam(classifier, squares, decided(cells)))


def decided(cells: pd.DataFrame) -> NDArray[np.int64]:
    return class_indices(list(cells["predicted"]))


def preferred_sets(names: Sequence[str]) -> list[str]:
    """Tests, then other laboratories, then validation, on which the epoch was chosen."""
    rank = {"test": 0, "test_a": 0, "test_b": 0, "val": 2}
    return sorted(names, key=lambda name: (rank.get(name, 1), name))


def choose(
    predictions: pd.DataFrame,
    log_prior: Sequence[float],
    sets: Sequence[str],
    num_each: int,
    classes: Sequence[str] = CLASSES,
) -> pd.DataFrame:
    """The rows to show, of each true class at most `num_each` of each kind, no cell twice.

    Correct and wrong: the surest first. Near-threshold: the smallest `margins` first, right or
    wrong. A set is used up before the next of `sets` is begun; equals are in order of path.
    Columns added: kind, margin, and row, the position within the cell's set.
    """
    table = predictions.assign(
        row=predictions.groupby("set").cumcount(),
        margin=margins(predictions, log_prior, classes),
        unsure=-np.array(decided_probability(predictions), dtype=np.float64),
    )
    table = table[table["set"].isin(sets)]
    table["turn"] = [list(sets).index(name) for name in table["set"]]
    right = table["label"] == table["predicted"]
    shown = []
    for label in classes:
        rest = table[table["label"] == label]
        for kind, key in zip(KINDS, ("unsure", "unsure", "margin"), strict=True):
            fits = {"correct": right, "wrong": ~right}.get(kind, pd.Series(True, table.index))
            found = rest[fits[rest.index]].sort_values(["turn", key, "path"]).head(num_each)
            rest = rest.drop(found.index)
            shown.append(found.assign(kind=kind))
    chosen = pd.concat(shown).drop(columns=["turn", "unsure"])
    return chosen.reset_index(drop=True)


def margins(
    predictions: pd.DataFrame, log_prior: Sequence[float], classes: Sequence[str] = CLASSES
) -> NDArray[np.float64]:
    """How far each decision is from the runner-up (N,), in logits: 0 is a tie.

    Logit adjustment decides by probability over prior, so the margin is taken there; without it
    `log_prior` is 0. Probabilities of 0 count as the millionth to which they were rounded.
    """
    given = predictions[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    adjusted = np.sort(np.log(np.maximum(given, 1e-6)) - np.array(log_prior), axis=1)
    return np.asarray(adjusted[:, -1] - adjusted[:, -2])


def read(store: PixelStore, cells: pd.DataFrame) -> Pixels:
    """Squares (n, S, S, 3) of rows that `choose` returned, in their order."""
    parts = {name: store.part(name) for name in dict.fromkeys(cells["set"])}
    size = int(store.settings["size"])
    squares = [
        parts[name].read([row])[0] for name, row in zip(cells["set"], cells["row"], strict=True)
    ]
    return np.stack(squares) if squares else np.zeros((0, size, size, 3), np.uint8)


def grad_cam(
    classifier: Classifier, pixels: Pixels, classes: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Maps (N, S, S) of squares (N, S, S, 3), each for its class (N,).

    From 0 to 1, which is the picture's own maximum: maps tell where, and cannot be compared in
    strength. A map is 0 all over where no place speaks for the class.
    """
    body, head = split(classifier.network)
    maps = [np.zeros((0, *pixels.shape[1:3]), np.float32)]
    for start in range(0, len(pixels), BATCH):
        squares = torch.from_numpy(pixels[start : start + BATCH]).to(classifier.device)
        wanted = torch.from_numpy(classes[start : start + BATCH]).to(classifier.device)
        coarse = class_maps(body, head, squares.permute(0, 3, 1, 2).float() / 255, wanted)
        fine = interpolate(coarse[:, None], size=pixels.shape[1:3], mode="bilinear")[:, 0]
        largest = fine.amax(dim=(1, 2), keepdim=True)
        maps.append((fine / torch.where(largest > 0, largest, 1.0)).cpu().numpy())
    return np.concatenate(maps)


def class_maps(
    body: Callable[[Tensor], Tensor],
    head: Callable[[Tensor], Tensor],
    images: Tensor,
    classes: Tensor,
) -> Tensor:
    """Grad-CAM (N, h, w), unscaled, of images (N, 3, H, W) for class indices (N,).

    `body` gives feature maps (N, K, h, w), `head` makes logits of them.
    """
    with torch.no_grad():
        features = body(images)
    features = features.detach().requires_grad_(True)
    with torch.enable_grad():
        chosen = head(features).gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * features.detach()).sum(dim=1).relu()


def split(network: Network) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """A network in evaluation mode cut at its last map: pixels (0..1) to features, to logits.

    The blocks as they were trained: folded copies may have been made where gradients were off for
    good. The logits differ from theirs by rounding.
    """
    names = [block.name for block in network.blocks]
    cut = min(names.index(name) for name in WITHOUT_PLACES if name in names)

    def body(images: Tensor) -> Tensor:
        normalised = (images - network.mean) / network.std
        return _through(
            network.blocks[:cut], normalised.contiguous(memory_format=torch.channels_last)
        )

    return body, lambda features: _through(network.blocks[cut:], features)


def _through(blocks: Sequence[Block], x: Tensor) -> Tensor:
    for block in blocks:
        for part in block.parts:
            x = part(x)
    return x


def captions(cells: pd.DataFrame) -> list[str]:
    """Of each row: true type, decision and its probability."""
    return [_caption(row, row[f"p_{row['predicted']}"]) for row in cells.to_dict("records")]


def _caption(row: Mapping[Any, Any], sure: float) -> str:
    if row["label"] == row["predicted"]:
        return f"{row['label']} {sure:.0%}"
    return f"{row['label']} \N{RIGHTWARDS ARROW}\n{row['predicted']} {sure:.0%}"
