"""Evaluation: this project's folded network against torchvision's module as it comes, in turn.

python -m benchmarks.evaluation [--networks googlenet ...] [--rounds 3] [--images 128]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.drawn import draw_cells, fill
from benchmarks.peers import as_torchvision_has_it
from benchmarks.rounds import Rates, in_turn, median, ratio
from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network
from wbc.device import pick
from wbc.evaluation import predict
from wbc.model import Classifier
from wbc.pixels import PixelStore

SIZE, BATCH = 224, 64
HEADER = "| network | torchvision, images/s | this project, images/s | ratio |\n" + "|---" * 4 + "|"


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        store = drawn_store(Path(folder), arguments.images)
        print(HEADER)
        for name in arguments.networks:
            print(row(name, measure(name, store, arguments.rounds)), flush=True)


def drawn_store(folder: Path, num_images: int) -> PixelStore:
    table = draw_cells(folder / "raw", {"train": 5, "val": num_images}, side=256)
    return fill(table, folder / "raw", folder / "pixels", SIZE, "none")


def measure(name: str, store: PixelStore, num_rounds: int) -> Rates:
    """Both read the same store in the same batches."""
    pick("cpu", "auto", 0)
    part = store.part("val")
    network = Network(name, 0.0, frozen_batch_norm=True).eval()
    as_torchvision_has_it(network)
    plain = network.net.eval()
    frozen = Network(name, 0.0, frozen_batch_norm=True).eval()
    frozen.freeze()
    frozen.to(memory_format=torch.channels_last)
    classifier = Classifier(frozen, {"log_prior": [0.0] * 5}, "cpu")

    def torchvisions() -> None:
        with torch.inference_mode():
            for pixels in part.batches(BATCH):
                images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255
                plain((images - network.mean) / network.std)

    contenders: dict[str, Callable[[], float]] = {
        "torchvision": lambda: _rate(torchvisions, len(part)),
        "ours": lambda: _rate(lambda: predict(classifier, part, BATCH), len(part)),
    }
    return in_turn(contenders, num_rounds)


def row(name: str, rates: Rates) -> str:
    numbers = [f"{median(rates, contender):.0f}" for contender in ("torchvision", "ours")]
    return f"| {name} | {' | '.join(numbers)} | {ratio(rates, 'ours', 'torchvision')} |"


def _rate(work: Callable[[], object], num_images: int) -> float:
    begin = time.perf_counter()
    work()
    return num_images / (time.perf_counter() - begin)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=128)
    return parser.parse_args()


if __name__ == "__main__":
    main()
