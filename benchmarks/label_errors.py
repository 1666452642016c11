"""How many planted label errors the search finds: precision of the ranking and of the list.

    python -m benchmarks.label_errors [--pixels DIR] [--splits train val] [--start DIR]

Of the training and validation cells (or `--splits`) of a finished store, 3 % get a random other
label and 3 % the one that is easily confused with theirs (monocyte and lymphocyte, neutrophil and
eosinophil). "Ranked" is the share of planted ones among as many cells with the least probable
labels (there precision and recall are the same); the other columns are about the list that
confident learning makes. Labels that were wrong before count as false alarms. Three seeds: mean,
lowest, highest. `--start models/ARCH/start` judges by a pretrained network's pooled features.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wbc import descriptors, label_quality
from wbc.backbones import Network
from wbc.cells import CLASSES
from wbc.pixels import PixelStore, open_store
from wbc.start import read_start
from wbc.weight_files import load_into

SHARE = 0.03
SEEDS = (1, 2, 3)
CONFUSABLE = {0: 3, 3: 0, 1: 2, 2: 1}  # positions in CLASSES

Ints = NDArray[np.int64]


def main() -> None:
    arguments = parse_arguments()
    store = open_store(arguments.pixels)
    rows = store.table[store.table["split"].isin(arguments.splits)].reset_index(drop=True)
    part = PixelStore(store.folder, rows, store.settings, store.shards)
    start = arguments.start
    described = pooled(part, start) if start else descriptors.describe(part)
    found = np.array([one(part, described, seed) for seed in SEEDS])
    num = round(SHARE * len(part))
    print(f"{len(part)} cells, {num} random and {num} confusable errors planted\n")
    print("| measure | mean | lowest | highest |\n|---|---|---|---|")
    for name, values in zip(MEASURES, found.T, strict=True):
        print(f"| {name} | {values.mean():.3f} | {values.min():.3f} | {values.max():.3f} |")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pixels", type=Path, default=Path("data/pixels"), metavar="DIR")
    parser.add_argument("--splits", nargs="+", default=["train", "val"])
    parser.add_argument("--start", type=Path, metavar="DIR", help="models/ARCH/start")
    return parser.parse_args()


def pooled(part: PixelStore, start_dir: Path) -> NDArray[np.float64]:
    """Features (N, D) under the head of a network as it was started, mean over places."""
    network = Network(read_start(start_dir).architecture, dropout=0.0, frozen_batch_norm=True)
    load_into(network, start_dir)
    network.unfreeze("head")
    found = []
    for pixels in part.batches(64):
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        features = network.eval().frozen(images)
        found.append((features.mean((2, 3)) if features.ndim == 4 else features).numpy())
    return np.concatenate(found).astype(np.float64)


MEASURES = (
    "ranked: precision and recall at the number planted",
    "ranked: precision of the first 30",
    "list: cells in it for each planted one",
    "list: precision",
    "list: recall of random errors",
    "list: recall of confusable errors",
    "suggested label right, of planted ones in the list",
)


def one(part: PixelStore, described: NDArray[np.float64], seed: int) -> tuple[float, ...]:
    """MEASURES of one drawing of errors."""
    true, given, at_random, confused = plant(part.labels, seed)
    planted = np.concatenate([at_random, confused])
    judgement = label_quality.judge(
        described, given, list(part.table["group"]), list(part.table["source"])
    )
    own = judgement.probabilities[np.arange(len(given)), given]
    ranked = np.argsort(np.where(judgement.judged, own, 1), kind="stable")
    listed = label_quality.label_errors(given, judgement)
    hits = listed[np.isin(listed, planted)]
    return (
        float(np.isin(ranked[: len(planted)], planted).mean()),
        float(np.isin(ranked[:30], planted).mean()),
        len(listed) / len(planted),
        len(hits) / len(listed),
        float(np.isin(at_random, listed).mean()),
        float(np.isin(confused, listed).mean()),
        float((judgement.probabilities[hits].argmax(axis=1) == true[hits]).mean()),
    )


def plant(true: Ints, seed: int) -> tuple[Ints, Ints, Ints, Ints]:
    """True labels, labels with errors, rows with random errors, rows with confusable ones."""
    rng = np.random.default_rng(seed)
    num, order, given = round(SHARE * len(true)), rng.permutation(len(true)), true.copy()
    at_random, rest = order[:num], order[num:]
    given[at_random] = (true[at_random] + rng.integers(1, len(CLASSES), num)) % len(CLASSES)
    confused = np.array([row for row in rest if int(true[row]) in CONFUSABLE][:num], np.int64)
    given[confused] = [CONFUSABLE[int(label)] for label in true[confused]]
    return true, given, at_random, confused


if __name__ == "__main__":
    main()
