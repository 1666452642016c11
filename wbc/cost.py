"""What a model costs: multiply-adds and bytes, which are facts, and times, which are measured.

Times differ from run to run and machine to machine, so they never go into a DVC output.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from wbc.backbones import Network
from wbc.cells import CLASSICAL
from wbc.model import WEIGHTS_FILE, Classifier, num_parameters

BATCH: Final = 16  # cells, for the throughput
REPEATS: Final = 7  # of each measurement, after WARM_UPS; the median counts
WARM_UPS: Final = 2


@dataclass(frozen=True)
class Size:
    """What can be known without running; `multiply_adds` is None where there is no network."""

    num_parameters: int
    multiply_adds: int | None  # of one image, in convolutions and linear layers
    num_bytes: int  # of model.safetensors


@dataclass(frozen=True)
class Speed:
    """Medians on the CPU, from stored square to probabilities."""

    latency_ms: float  # of one image alone
    images_per_second: float  # in batches of BATCH


def size_of(folder: Path, card: dict[str, Any]) -> Size:
    """The size of the model in `folder`."""
    architecture, side = card["architecture"], int(card["input"]["size"])
    counted = None if architecture == CLASSICAL else multiply_adds(architecture, side)
    return Size(num_parameters(folder), counted, (folder / WEIGHTS_FILE).stat().st_size)


def multiply_adds(architecture: str, side: int) -> int:
    """Of one image of `side` pixels: half of the operations that torch counts.

    ResNet18 at 224 pixels: 1.814e9 with five outputs.
    """
    network = Network(architecture, dropout=0.0, frozen_batch_norm=True).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, side, side))
    return int(counter.get_total_flops()) // 2


def speed_of(classifier: Classifier, squares: NDArray[np.uint8]) -> Speed:
    """Time the classifier on squares (N, S, S, 3); means much only on an otherwise idle machine."""
    one = _median_seconds(lambda: classifier.probabilities(squares[:1]))
    many = _median_seconds(lambda: classifier.probabilities(squares))
    return Speed(latency_ms=1000 * one, images_per_second=len(squares) / many)


def _median_seconds(work: Callable[[], object]) -> float:
    for _ in range(WARM_UPS):
        work()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
