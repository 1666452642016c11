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

import pandas as pd

from benchmarks.class_folders import cell_table, fine_tuned, shuffled
from benchmarks.drawn import fill
from wbc import params
from wbc.evaluation import predict
from wbc.metrics import scores
from wbc.model import Classifier
from wbc.pixels import PixelStore


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
    return cell_table(
        [
            (path, label, "train" if position < num_train else "val")
            for label, paths in shuffled(folder)
            for position, path in enumerate(paths[: num_train + num_val])
        ]
    )


def one(arguments: argparse.Namespace, store: PixelStore, seed: int, views: int) -> float:
    settings = params.load(Path("params.yaml")).train
    settings = dataclasses.replace(
        settings, cache_views=views, epochs=arguments.epochs, threads=0, batch_norm="frozen"
    )
    outcome, plan = fine_tuned(arguments.network, arguments.weights, 0.2, settings, seed, store)
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
