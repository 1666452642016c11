"""Real cells in class folders: divided by a fixed draw, and fine-tuned on."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from wbc import training
from wbc.backbones import Network, load_start
from wbc.cells import CLASSES
from wbc.device import pick
from wbc.params import Train
from wbc.pixels import PixelStore
from wbc.plan import Plan, make_plan

IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")


def shuffled(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each class and its pictures, relative to `folder`, always in the same random order."""
    for label in CLASSES:
        paths = sorted(p for p in (folder / label).iterdir() if p.suffix.lower() in IMAGES)
        order = np.random.default_rng(0).permutation(len(paths))
        yield label, [str(paths[number].relative_to(folder)) for number in order]


def cell_table(rows: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    """Rows of path, label and split as preprocess takes them."""
    table = pd.DataFrame(rows, columns=["path", "label", "split"])
    return table.assign(sha256="", group="", source="folder", reason="", mask="")


def fine_tuned(
    architecture: str,
    weights: Path | None,
    dropout: float,
    settings: Train,
    seed: int,
    store: PixelStore,
) -> tuple[training.Outcome, Plan]:
    """A training on the CPU from a file of weights, on the store's `train` and `val`.

    Without a file it starts from random weights, as train does: all layers learn.
    """
    plan = make_plan(settings, seed, weights is not None, store.part("train").labels)
    training.seed_everything(seed)
    frozen = settings.batch_norm != "train" and weights is not None
    network = Network(architecture, dropout, frozen_batch_norm=frozen)
    if weights is not None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        load_start(network, state, str(weights))
    with tempfile.TemporaryDirectory() as scratch:
        device = pick("cpu", "auto", settings.threads)
        outcome = training.fit(network, store, plan, device, Path(scratch), lambda *_: None)
    return outcome, plan
