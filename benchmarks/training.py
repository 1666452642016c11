"""Training: this project against torchvision's reference recipe and against pure computing.

    python -m benchmarks.training [--networks googlenet ...] [--rounds 4] [--precision bf16]

On the same drawn cells of 575x575 pixels, at 224 pixels, batch 16 (64 on a GPU), `unfreeze: upper`,
in one process, in turn. All see the same allocator setting (wbc.device). Training steps are timed:
validation and checkpoints are left out on all sides, and so is computing the cached features, one
pass over the frozen layers for each view. Runs where `train.device: auto` would: on a GPU all are
there, the in-memory tensors too. An epoch has the same cells several times where it would be too
short to be timed.
"""

import argparse
import dataclasses
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from benchmarks.drawn import draw_cells, fill
from benchmarks.peers import Reference, StrongestPeer, reference_loader, wait_for
from benchmarks.rounds import Rates, in_turn, median, ratio
from wbc import params, training
from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network
from wbc.device import Device, pick
from wbc.pixels import PixelStore
from wbc.plan import make_plan

SIZE, BATCH = 224, 16
BATCH_ON_GPU, STEPS_ON_GPU = 64, 60
HEADER = (
    "| network | reference, images/s | this project, images/s | to reference | to strongest peer"
    " | to its compute limit | step to reference's step | with cached features to reference |"
    "\n" + "|---" * 8 + "|"
)


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        cells = Cells(Path(folder), arguments.images, arguments.batch_size, arguments.steps)
        print(pick("auto", arguments.precision).name, f"batch {cells.batch_size}", sep=", ")
        print(HEADER)
        for name in arguments.networks:
            print(
                row(name, measure(name, cells, arguments.rounds, arguments.precision)), flush=True
            )


class Cells:
    """The same cells as files and as a store.

    Args:
        num_images: at least; a batch is filled in any case.
        batch_size: 0: BATCH, or BATCH_ON_GPU where there is one.
        num_steps: of an epoch, at least; 0: one, or STEPS_ON_GPU where there is one.
    """

    def __init__(
        self, folder: Path, num_images: int, batch_size: int = 0, num_steps: int = 0
    ) -> None:
        on_gpu = torch.cuda.is_available()
        self.folder = folder
        self.batch_size = batch_size or (BATCH_ON_GPU if on_gpu else BATCH)
        num_images = max(num_images, self.batch_size)
        table = draw_cells(folder / "raw", {"train": num_images, "val": 10})
        store = fill(table, folder / "raw", folder / "pixels", SIZE, "none")
        num_steps = num_steps or (STEPS_ON_GPU if on_gpu else 1)
        times = -(-num_steps * self.batch_size // num_images)
        self.store = repeated(store, times)
        self.loader = reference_loader(folder / "raw" / "train", SIZE, self.batch_size, times)

    def in_memory(self, place: torch.device) -> list[tuple[Tensor, Tensor]]:
        """As many batches as an epoch has steps, a few distinct ones in turn."""
        size = self.batch_size
        images = [torch.rand(size, 3, SIZE, SIZE).to(place) for _ in range(4)]
        labels = torch.randint(0, 5, (size,)).to(place)
        num_steps = max(1, len(self.store.part("train")) // size)
        return [(images[number % len(images)], labels) for number in range(num_steps)]


def repeated(store: PixelStore, times: int) -> PixelStore:
    """The store with each of its training cells so many times."""
    in_train = store.table["split"] == "train"
    tables = [store.table[in_train]] * times + [store.table[~in_train]]
    return dataclasses.replace(store, table=pd.concat(tables, ignore_index=True))


def measure(
    name: str,
    cells: Cells,
    num_rounds: int,
    precision: str = "auto",
    seconds: float = math.inf,
) -> Rates:
    """`precision` is this project's; the reference computes in 32 bits."""
    device = pick("auto", precision, 0)
    place = torch.device(device.type)
    in_memory = cells.in_memory(place)
    reference, peer = Reference(name, place), StrongestPeer(name, place)
    limit = ComputeLimit(name, device)
    contenders: dict[str, Callable[[], float]] = {
        "reference": lambda: reference.epoch(cells.loader),
        "peer": lambda: peer.epoch(cells.loader),
        "ours": lambda: train(name, cells, device),
        "cached": lambda: train(name, cells, device, epochs=4, cache_views=1),
        "limit": lambda: limit.epoch(in_memory),
        "reference step": lambda: reference.epoch(in_memory),
    }
    return in_turn(contenders, num_rounds, seconds)


def train(name: str, cells: Cells, device: Device, **changes: Any) -> float:
    """Two epochs through wbc.training.fit; images a second over the last one's steps.

    Features that an earlier call cached are not computed again.
    """
    settings = params.load(Path("params.yaml"))
    changes = {"epochs": 2, "head_epochs": 0, "batch_size": cells.batch_size, **changes}
    labels = cells.store.part("train").labels
    plan = make_plan(dataclasses.replace(settings.train, **changes), 1, True, labels)
    clock = Clock()
    network = Network(name, 0.2, frozen_batch_norm=True)
    scratch = cells.folder / "scratch" / name
    scratch.mkdir(parents=True, exist_ok=True)
    training.fit(network, cells.store, plan, device, scratch, lambda *_: None, watchers=[clock])
    (scratch / "last.ckpt").unlink()
    return clock.num_images / (clock.end - clock.begin)


class Clock(Callback):
    """From the beginning of the last epoch to the end of its last step, averaging included."""

    num_images, begin, end = 0, 0.0, 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self.num_images, self.begin = 0, time.perf_counter()

    def on_train_batch_end(
        self, _trainer: Any, _module: Any, _outputs: Any, batch: Any, _batch_index: int
    ) -> None:
        self.num_images += len(batch[1])
        if _trainer.is_last_batch:
            wait_for(_module.device)
        self.end = time.perf_counter()


class ComputeLimit(Reference):
    """This project's network and optimiser on tensors that are already there, nothing else."""

    def __init__(self, architecture: str, device: Device) -> None:
        self.place, self.device = torch.device(device.type), device
        self.network = Network(architecture, 0.2, frozen_batch_norm=True).to(self.place)
        self.network.to(memory_format=torch.channels_last).train().unfreeze("upper")
        self.optimizer = torch.optim.AdamW(
            [p for p in self.network.parameters() if p.requires_grad], fused=True
        )

    def settings(self) -> AbstractContextManager[None]:
        return nullcontext()  # as deterministic as the training

    def logits(self, images: Tensor) -> Tensor:
        half = self.device.precision != "32-true"
        with torch.autocast(self.place.type, torch.bfloat16, enabled=half):
            return self.network(images)  # type: ignore[no-any-return]


def row(name: str, rates: Rates) -> str:
    numbers = [f"{median(rates, contender):.1f}" for contender in ("reference", "ours")]
    ratios = [
        ratio(rates, "ours", "reference"),
        ratio(rates, "ours", "peer"),
        ratio(rates, "ours", "limit"),
        ratio(rates, "limit", "reference step"),
        ratio(rates, "cached", "reference"),
    ]
    return f"| {name} | {' | '.join([*numbers, *map(str, ratios)])} |"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=0)
    parser.add_argument("--steps", type=int, default=0, help="of an epoch, at least")
    parser.add_argument("--precision", choices=("auto", "bf16"), default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
