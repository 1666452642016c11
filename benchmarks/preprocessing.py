"""Preprocessing: this project against a plain pool of Pillow, in turn, on two cores.

    python -m benchmarks.preprocessing [--images 2000] [--rounds 3] [--folder DIR]

On drawn cells of 575 x 575 pixels (Raabin-WBC's size) or the JPEGs of DIR, to 224 pixels. Every
contender runs in a process of its own, whose start counts; the plain pool decodes, resizes and
writes the squares into one file. Two sizes of the same job tell the start from the rest, and so the
time for all of Raabin-WBC's training cells.
"""

import argparse
import io
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image

from benchmarks.rounds import Ratio

SIZE = 224  # pixels, side of the stored squares
NUM_DRAWN = 100  # different pictures; longer jobs repeat them
RAABIN = 10_175  # training cells of Raabin-WBC
PLAIN, CROPS = "Pillow", ("none", "cell")
ROOT = Path(__file__).resolve().parents[1]
Step = Callable[..., object]


@dataclass(frozen=True)
class Throughput:
    """A contender: medians over the rounds, the ratio with its extremes."""

    name: str
    rate: float  # images a second, start included
    to_plain: Ratio  # of its rate to the plain pool's
    raabin_seconds: float  # projected for all of Raabin-WBC's training cells

    def __str__(self) -> str:
        return f"| {self.name} | {self.rate:.0f} | {self.to_plain} | {self.raabin_seconds:.0f} |"


@dataclass(frozen=True)
class Part:
    """One step for one picture on one core, in milliseconds; NaN where Pillow has no such step."""

    name: str
    ours: float
    pillows: float

    def __str__(self) -> str:
        ratio = self.pillows / self.ours
        theirs = "| |" if math.isnan(ratio) else f"{self.pillows:.2f} | {ratio:.1f} |"
        return f"| {self.name} | {self.ours:.2f} | {theirs}"


def main() -> None:
    arguments = parse_arguments()
    if arguments.alone:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
        paths = picture_paths(arguments.folder, arguments.images)
        (fill_plainly if arguments.alone == PLAIN else fill)(paths, arguments.alone)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or draw_pictures(Path(scratch))
        for line in report(folder, arguments.images, arguments.rounds):
            print(line, flush=True)


def report(folder: Path, num_images: int, num_rounds: int) -> Iterator[str]:
    """Everything, as lines of Markdown."""
    yield "| | images/s | to Pillow | s for 10,175 |\n|---|---|---|---|"
    yield from map(str, throughput(folder, num_images, num_rounds))
    yield "\n| ms an image and core | here | Pillow | ratio |\n|---|---|---|---|"
    yield from map(str, parts(folder))
    yield f"\n{difference(folder)}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, metavar="DIR", help="JPEGs, instead of drawn ones")
    parser.add_argument("--alone", choices=(PLAIN, *CROPS), help=argparse.SUPPRESS)
    return parser.parse_args()


def throughput(folder: Path, num_images: int, num_rounds: int) -> list[Throughput]:
    """The plain pool, then crop none and crop cell; every round runs all, long and short."""
    lengths = (num_images, max(1, num_images // 5))
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(num_rounds):
        for name in (PLAIN, *CROPS):
            for length in lengths:
                seconds.setdefault((name, length), []).append(run_alone(name, folder, length))
    return [_throughput(name, seconds, lengths) for name in (PLAIN, *CROPS)]


def _throughput(
    name: str, seconds: dict[tuple[str, int], list[float]], lengths: tuple[int, int]
) -> Throughput:
    long, short = lengths
    spans = np.array(seconds[name, long])
    each = (spans - seconds[name, short]) / (long - short)
    ratios = np.array(seconds[PLAIN, long]) / spans
    return Throughput(
        PLAIN if name == PLAIN else f"crop: {name}",
        float(long / np.median(spans)),
        Ratio(float(np.median(ratios)), float(ratios.min()), float(ratios.max())),
        float(np.median(spans + (RAABIN - long) * each)),
    )


def run_alone(name: str, folder: Path, num_images: int) -> float:
    """Seconds from the start of a fresh process to its end."""
    command = [sys.executable, "-m", "benchmarks.preprocessing", "--alone", name]
    start = time.perf_counter()
    subprocess.run(
        [*command, "--folder", str(folder.absolute()), "--images", str(num_images)],
        cwd=ROOT, check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - start


def parts(folder: Path, num_rounds: int = 5) -> list[Part]:
    """Core time of each step, medians over rounds in which Pillow and this project take turns."""
    import torch

    from wbc.decoding import decode
    from wbc.imaging import _resized
    from wbc.localisation import locate

    torch.set_num_threads(1)
    files = [path.read_bytes() for path in picture_paths(folder, 40)]
    pictures = [decode(data) for data in files]
    steps: list[tuple[str, Step, Step | None, Sequence[object]]] = [
        ("decode", decode, decoded_plainly, files),
        ("resize to 224", lambda pixels: _resized(pixels, SIZE), resized_plainly, pictures),
        ("find the cell", locate, None, pictures),
        ("all, crop: none", as_framed("none"), prepared_plainly, files),
        ("all, crop: cell", as_framed("cell"), prepared_plainly, files),
    ]
    found = []
    for name, ours, pillows, items in steps:
        turns = [
            (core_time(ours, items), core_time(pillows, items) if pillows else float("nan"))
            for _ in range(num_rounds)
        ]
        found.append(Part(name, *(statistics.median(times) for times in zip(*turns, strict=True))))
    return found


def as_framed(crop: str) -> Step:
    """All of the work on one file."""
    from wbc.imaging import Framing, prepare

    framing = Framing(SIZE, crop, 1.5)
    return lambda data: prepare(data, framing)


def core_time(step: Step, items: Sequence[object]) -> float:
    """Milliseconds of one core for one item."""
    start = time.process_time()
    for item in items:
        step(item)
    return 1000 * (time.process_time() - start) / len(items)


def difference(folder: Path) -> str:
    """How far pixels are from Pillow's: after decoding, and after resizing the whole picture."""
    from wbc.decoding import decode
    from wbc.imaging import Framing, prepare

    decoded, resized = 0, np.zeros(256, np.int64)
    for path in picture_paths(folder, NUM_DRAWN):
        data = path.read_bytes()
        plain = decoded_plainly(data)
        decoded = max(decoded, int(np.abs(decode(data).astype(int) - plain).max()))
        if plain.shape[0] == plain.shape[1]:
            ours = prepare(data, Framing(SIZE, "none", 1.5)).pixels.astype(int)
            away = np.abs(ours - resized_plainly(plain))
            resized += np.bincount(away.ravel(), minlength=256)
    shares = resized / max(1, resized.sum())
    return (
        f"largest difference to Pillow in grey levels: decoded {decoded}, resized"
        f" {int(resized.nonzero()[0].max(initial=0))}; {shares[0]:.2%} of resized values are equal"
    )


def fill(paths: list[Path], crop: str) -> None:
    """This project's preprocess stage, without DVC."""
    import pandas as pd

    from wbc import preprocessing, spreading
    from wbc.params import Preprocess

    spreading.CELLS_A_WORKER = 1  # type: ignore[misc]  # as in the long jobs that are projected
    split = ["val" if number % 5 == 0 else "train" for number in range(len(paths))]
    table = pd.DataFrame({"path": [path.name for path in paths], "split": split})
    cells = table.assign(label="neutrophil", sha256="", mask="", reason="")
    settings = Preprocess(SIZE, crop, 1.5, 0.0, 1024, "loky")  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as target:
        preprocessing.fill_store(cells, paths[0].parent, Path(target), settings)


def fill_plainly(paths: list[Path], _crop: str) -> None:
    """What anyone writes: two processes, Pillow, one file."""
    with tempfile.TemporaryDirectory() as target, Pool(2) as pool:
        store = Path(target) / "squares.npy"
        open_memmap(store, mode="w+", dtype=np.uint8, shape=(len(paths), SIZE, SIZE, 3))
        work = partial(write_plainly, store)
        for _ in pool.imap_unordered(work, enumerate(paths), chunksize=32):
            pass


def write_plainly(store: Path, numbered: tuple[int, Path]) -> None:
    number, path = numbered
    np.load(store, mmap_mode="r+")[number] = prepared_plainly(path.read_bytes())


def decoded_plainly(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def resized_plainly(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(pixels)
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def prepared_plainly(data: bytes) -> NDArray[np.uint8]:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def picture_paths(folder: Path, num_images: int) -> list[Path]:
    """So many paths of JPEGs in the folder, from the beginning again where there are fewer."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    return [paths[number % len(paths)] for number in range(num_images)]


def draw_pictures(folder: Path) -> Path:
    """Drawn cells of all classes as JPEGs."""
    from benchmarks.drawn import draw_cell
    from wbc.cells import CLASSES

    for number in range(NUM_DRAWN):
        draw_cell(folder / f"{number:03}.jpg", CLASSES[number % len(CLASSES)], number)
    return folder


if __name__ == "__main__":
    main()
