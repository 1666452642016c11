"""What each effect of `train.augment` costs.

    python -m benchmarks.augmentation [--networks mobilenet_v2 googlenet] [--rounds 6]

In turn (A B A B), 224 pixels, batch 16, all cores: milliseconds of processor time a batch, all
cores together, of `augment` as params.yaml has it without other laboratories and microscopes, with
each of their effects alone, and with all; then whole training steps by the clock, with none and
with all. Medians over the rounds.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks import training
from benchmarks.rounds import in_turn, median, ratio
from wbc import params
from wbc.augment import NUM_DRAWS, augment, to_images, uniform_draws
from wbc.device import pick
from wbc.params import Augment

NUM_BATCHES: Final = 10
ON: Final[dict[str, Any]] = {  # as docs/augmentation.md recommends
    "stain_hue": 0.08, "uptake": 0.6, "white_point": 0.08, "gamma": 0.3, "gradient": 0.1,
    "resolution": 0.5, "blur": 0.01, "fringe": 0.004, "sharpen": 1.0, "noise": 6.0, "jpeg": 60.0,
}  # fmt: skip


def main() -> None:
    arguments = parse_arguments()
    device = pick()  # the memory's and the threads' settings
    shipped = params.load(Path("params.yaml")).train.augment
    off: dict[str, Any] = dict.fromkeys(ON, 0.0)
    plain = dataclasses.replace(shipped, microscope_share=0.5, **off)
    everything = dataclasses.replace(plain, **ON)
    print(f"{device.name}\n\n| effects | processor ms a batch | added |\n|---|---|---|")
    for line in alone(plain, everything, arguments.rounds):
        print(line, flush=True)
    print("\n| network | images/s, none | images/s, all | all to none |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        cells = training.Cells(Path(folder), 320)
        for name in arguments.networks:
            print(steps(name, cells, plain, everything, arguments.rounds), flush=True)


def alone(plain: Augment, everything: Augment, num_rounds: int) -> list[str]:
    """`augment` itself, with every effect alone and with all."""
    settings = {"none": plain}
    settings |= {name: dataclasses.replace(plain, **{name: value}) for name, value in ON.items()}
    settings["all"] = everything
    random = np.random.default_rng(1)
    size, batch = training.SIZE, training.BATCH
    pixels = torch.from_numpy(random.integers(0, 256, (batch, size, size, 3), dtype=np.uint8))

    def rate(chosen: Augment) -> float:
        begin = time.process_time()
        for number in range(NUM_BATCHES):
            samples = np.arange(number * batch, (number + 1) * batch)
            augment(to_images(pixels), uniform_draws(1, 0, samples, NUM_DRAWS), chosen)
        return NUM_BATCHES / (time.process_time() - begin)

    contenders = {name: (lambda chosen=chosen: rate(chosen)) for name, chosen in settings.items()}
    rates = in_turn(contenders, num_rounds)
    return [
        f"| {name} | {1000 / median(rates, name):.1f} | {_added(rates[name], rates['none']):+.1f} |"
        for name in settings
    ]


def _added(rates: list[float], plain: list[float]) -> float:
    """Milliseconds more than without, both of the same round."""
    return statistics.median(1000 / a - 1000 / b for a, b in zip(rates, plain, strict=True))


def steps(
    name: str, cells: training.Cells, plain: Augment, everything: Augment, num_rounds: int
) -> str:
    """A row with the whole training's speed."""
    device = pick()
    contenders = {
        "none": lambda: training.train(name, cells, device, augment=plain),
        "all": lambda: training.train(name, cells, device, augment=everything),
    }
    rates = in_turn(contenders, num_rounds)
    speeds = " | ".join(f"{median(rates, each):.1f}" for each in contenders)
    return f"| {name} | {speeds} | {ratio(rates, 'all', 'none')} |"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=["mobilenet_v2", "googlenet"])
    parser.add_argument("--rounds", type=int, default=6)
    return parser.parse_args()


if __name__ == "__main__":
    main()
