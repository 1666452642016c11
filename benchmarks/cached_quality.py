"""What caching the frozen layers' features costs in quality: train.cache_views against 0.

    python -m benchmarks.cached_quality --images DIR --weights FILE [--network mobilenet_v2]

DIR has a folder of images for each class. Of each class a few are for training, the others for
validation, by a fixed draw; no test set is touched. Every number is the macro-F1 of the finished
model (plain, no cache) on the validation cells: mean and range over the seeds.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd
import torch

from benchmarks.drawn import fill
from wbc import params, training
from wbc.backbones import Network, load_start
from wbc.cells import CLASSES
from wbc.device import pick
from wbc.evaluation import predict
from wbc.metrics import scores
from wbc.model import Classifier
from wbc.pixels import PixelStore
from wbc.plan import make_plan

IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        table = divide(arguments.images, arguments.train, arguments.val)
        store = fill(table, arguments.images, Path(folder) / "pixels", arguments.size, "cell")
        print(f"{arguments.network}, {len(store.part('train'))} cells in training")
        print(f"| cache_views | val macro-F1 of {len(store.part('val'))} | range | seconds |")
        print("|---|---|---|---|", flush=True)
        for views in arguments.views:
            begin = time.perf_counter()
            found = [one(arguments, store, seed, views) for seed in range(1, arguments.seeds + 1)]
            seconds = (time.perf_counter() - begin) / len(found)
            spread = f"{min(found):.4f}-{max(found):.4f}"
            print(f"| {views} | {mean(found):.4f} | {spread} | {seconds:.0f} |", flush=True)


def divide(folder: Path, num_train: int, num_val: int) -> pd.DataFrame:
    """So many cells of each class for either part."""
    rows = []
    for label in CLASSES:
        paths = sorted(p for p in (folder / label).iterdir() if p.suffix.lower() in IMAGES)
        order = np.random.default_rng(0).permutation(len(paths))[: num_train + num_val]
        for position, number in enumerate(order):
            path = str(paths[number].relative_to(folder))
            rows.append((path, label, "train" if position < num_train else "val"))
    table = pd.DataFrame(rows, columns=["path", "label", "split"])
    return table.assign(sha256="", group="", source="folder", reason="", mask="")


def one(arguments: argparse.Namespace, store: PixelStore, seed: int, views: int) -> float:
    settings = params.load(Path("params.yaml")).train
    settings = dataclasses.replace(settings, cache_views=views, epochs=arguments.epochs)
    plan = make_plan(settings, seed, True, store.part("train").labels)
    training.seed_everything(seed)
    network = Network(arguments.network, 0.2, frozen_batch_norm=True)
    state = torch.load(arguments.weights, map_location="cpu", weights_only=True)
    load_start(network, state, str(arguments.weights))
    with tempfile.TemporaryDirectory() as scratch:
        device = pick("cpu", "auto", 0)
        outcome = training.fit(network, store, plan, device, Path(scratch), lambda *_: None)
    outcome.network.eval().freeze()
    card = {"log_prior": list(plan.log_prior), "decision": "logit_adjustment"}
    classifier = Classifier(outcome.network, card, "cpu")
    part = store.part("val")
    probabilities = classifier.probabilities_of(predict(classifier, part, 64).logits)
    return float(scores(part.labels, classifier.decide(probabilities), probabilities)["macro_f1"])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--views", type=int, nargs="+", default=[0, 1, 4, 8])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--train", type=int, default=40, help="cells of each class")
    parser.add_argument("--val", type=int, default=100, help="cells of each class")
    return parser.parse_args()


if __name__ == "__main__":
    main()
