"""Where the time of a training step goes, part by part.

    python -m benchmarks.step [--network googlenet] [--batch-sizes 16 64 256] [--precision bf16]

Where `train.device: auto` would run, at 224 pixels, `unfreeze: upper`. Of each part: the
milliseconds until the program goes on, and until the device has done it too. Where both are equal
on a GPU, it waits for the program, and only fewer operations help; on a CPU they are always equal.
`computing` is the step of benchmarks.training's compute limit, `training` all of wbc.training.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import training
from benchmarks.peers import wait_for
from wbc import params
from wbc.architectures import ARCHITECTURES
from wbc.augment import NUM_DRAWS, augment, to_images, uniform_draws
from wbc.batches import train_loader
from wbc.device import Device, pick
from wbc.resident import in_device_memory

Part = Callable[[], object]


def main() -> None:
    arguments = parse_arguments()
    device = pick("auto", arguments.precision)
    print(f"{arguments.network}, {device.name}\n")
    print("| batch | part | ms, program | ms, device too |\n|---|---|---|---|")
    for size in arguments.batch_sizes:
        with tempfile.TemporaryDirectory() as folder:
            cells = training.Cells(Path(folder), 6 * size, size)
            for name, part in parts(arguments.network, cells, device).items():
                program, whole = timed(part, torch.device(device.type), arguments.repeats)
                print(f"| {size} | {name} | {program:.3f} | {whole:.3f} |", flush=True)
            training.train(arguments.network, cells, device)  # warms up
            rate = training.train(arguments.network, cells, device)
            print(f"| {size} | training | | {1000 * size / rate:.3f} |", flush=True)


def parts(name: str, cells: training.Cells, device: Device) -> dict[str, Part]:
    """What a step does, in its order, then the compute limit's step."""
    size, place = cells.batch_size, torch.device(device.type)
    (part,) = in_device_memory([cells.store.part("train")], place)
    batches = iter(train_loader(part, size, 1))
    pixels, labels, samples = next(batches)
    pixels, labels = pixels.to(place), labels.to(place)
    settings = params.load(Path("params.yaml")).train.augment
    draws = uniform_draws(1, 0, samples, NUM_DRAWS)
    images = to_images(pixels)
    limit = training.ComputeLimit(name, device)
    half = torch.autocast(place.type, torch.bfloat16, enabled=device.precision != "32-true")

    def frozen() -> torch.Tensor:
        with half:
            return limit.network.frozen(images)

    features = frozen()

    def learned() -> None:
        with half:
            loss = F.cross_entropy(limit.network.learned(features), labels)
        limit.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]

    rows = list(range(size))
    return {
        "read": lambda: part.read(rows),
        "draw": lambda: uniform_draws(1, 0, np.arange(size), NUM_DRAWS),
        "to images": lambda: to_images(pixels),
        "augment": lambda: augment(images, draws, settings),
        "frozen layers": frozen,
        "learning layers, there and back": learned,
        "optimiser": limit.optimizer.step,
        "computing": lambda: limit.step(images, labels),
    }


def timed(part: Part, place: torch.device, repeats: int) -> tuple[float, float]:
    """Milliseconds a call until the last one has returned, and until the device is done."""
    for _ in range(3):
        part()
    wait_for(place)
    begin = time.perf_counter()
    for _ in range(repeats):
        part()
    returned = time.perf_counter()
    wait_for(place)
    done = time.perf_counter()
    return (returned - begin) / repeats * 1000, (done - begin) / repeats * 1000


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=ARCHITECTURES, default="googlenet")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--precision", choices=("auto", "bf16"), default="auto")
    parser.add_argument("--repeats", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
