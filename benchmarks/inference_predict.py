"""`predict` as a whole against the bare forward pass of the same network, in turn.

*steady* leaves out the start (imports are not in it either): rows from SETTLED on. *CPU* is the
forward pass's processor time for a picture over all of predict's, worker processes included: what
the ratio can reach at most where all cores are busy, and less disturbed by a machine's other work.
"""

import argparse
import contextlib
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wbc import cli, model
from wbc.exporting import command, onnx_runtime
from wbc.exporting.check import drawn_squares
from wbc.model import Classifier
from wbc.predicting import command as predicting
from wbc.predicting.part import Part
from wbc.predicting.preparing import ALONE

SETTLED = ALONE + 256  # rows, after which the processes that prepare have started
HEADER = (
    "| predict | forward pass, images/s | predict, rows/s | whole | steady | CPU |\n"
    + "|---" * 6 + "|"
)  # fmt: skip


def rows(classifier: Classifier, arguments: argparse.Namespace) -> Iterator[str]:
    """A row of the table for each crop and runtime."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = repeated(arguments.pictures, arguments.num_pictures, folder / "pictures")
        for crop, runtime in itertools.product(("none", "cell"), arguments.runtimes):
            card = classifier.card | {"input": classifier.card["input"] | {"crop": crop}}
            model.save(folder / crop, classifier.network, card)
            forward = classifier
            if runtime == "onnx":
                content, _ = command.exported(classifier, "", "onnx", "googlenet")
                forward = onnx_runtime.classifier_of(content, "googlenet")
            measured = [
                measure(forward, pictures, folder / crop, runtime)
                for _ in range(arguments.predict_rounds)
            ]
            yield row(f"crop: {crop}, {runtime}", measured)


def repeated(source: Path, count: int, target: Path) -> Path:
    """A folder of `count` links to the pictures below `source`, again from the first at the end."""
    found = sorted(path for path in source.rglob("*") if path.suffix in (".jpg", ".png"))
    target.mkdir()
    for number, path in zip(range(count), itertools.cycle(found), strict=False):
        (target / f"{number:06}{path.suffix}").symlink_to(path.absolute())
    return target


def measure(forward: Classifier, pictures: Path, folder: Path, runtime: str) -> dict[str, float]:
    """Images and rows a second, and the share of processor time; forward before and after."""
    out = folder / "out.csv"
    before = forward_pass(forward)
    times: list[tuple[int, float]] = []
    begin, cpu = time.perf_counter(), processor_time()
    with noting(times):
        cli.main(["predict", str(pictures), "--model", str(folder), "--out", str(out),
                  "--runtime", runtime, "--device", "cpu", "--restart"])  # fmt: skip
    seconds, cpu = time.perf_counter() - begin, processor_time() - cpu
    after = forward_pass(forward)
    settled = next(pair for pair in times if pair[0] >= min(SETTLED, times[-1][0] // 2))
    total = times[-1][0]
    return {
        "forward": statistics.mean([before[0], after[0]]),
        "predict": total / seconds,
        "steady": (total - settled[0]) / (times[-1][1] - settled[1]),
        "cpu": statistics.mean([before[1], after[1]]) / (cpu / total),
    }


def forward_pass(forward: Classifier, batches: int = 4) -> tuple[float, float]:
    """Images a second, and processor time an image, of batches as predict makes them."""
    size = int(forward.card["input"]["size"])
    squares = np.resize(drawn_squares(size, 8), (predicting.BATCH, size, size, 3))
    forward.outputs(squares)
    begin, cpu = time.perf_counter(), processor_time()
    for _ in range(batches):
        forward.outputs(squares)
    num = batches * len(squares)
    return num / (time.perf_counter() - begin), (processor_time() - cpu) / num


def processor_time() -> float:
    """Of this process and of those that it has ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextlib.contextmanager
def noting(times: list[tuple[int, float]]) -> Iterator[None]:
    """While this lasts, every batch that predict writes adds its last row and the time."""
    append = Part.append

    def noted(self: Part, *given: Any) -> None:
        append(self, *given)
        times.append((self.state.rows, time.perf_counter()))

    Part.append = noted  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Part.append = append  # type: ignore[method-assign]


def row(name: str, measured: list[dict[str, float]]) -> str:
    def median(key: str) -> float:
        return statistics.median(one[key] for one in measured)

    def share(key: str) -> str:
        return f"{statistics.median(one[key] / one['forward'] for one in measured):.2f}"

    return (
        f"| {name} | {median('forward'):.1f} | {median('predict'):.1f} | {share('predict')}"
        f" | {share('steady')} | {median('cpu'):.2f} |"
    )
