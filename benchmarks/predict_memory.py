"""Memory of `predict` for few and for many files: it should be the same.

    python -m benchmarks.predict_memory [--files 2000 200000] [--architecture squeezenet1_1]

Each number of files lies in one folder of its own: links to drawn cells, judged by a random network
at 64 pixels. Prints the peak of RssAnon (memory written to, without mapped files), added up
over the command's processes; pages that forks share with the main process count in each of them.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.cgroup import measure
from benchmarks.inference import random_classifier
from benchmarks.inference_predict import repeated
from wbc import model
from wbc.exporting.check import drawn_squares
from wbc.predicting.fields import png

SIZE, NUM_DRAWN = 64, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[2_000, 200_000])
    parser.add_argument("--architecture", default="squeezenet1_1")
    options = parser.parse_args()
    print("| files | seconds | rows/s | peak of RssAnon, MB |\n|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        classifier = random_classifier(options.architecture, SIZE)
        model.save(work / "model", classifier.network, classifier.card)
        drawn = written(work / "drawn")
        for number in options.files:
            folder = repeated(drawn, number, work / str(number))
            out = work / f"{number}.csv"
            peak = measure([sys.executable, "-m", "wbc", "predict", str(folder), "--out", str(out),
                            "--model", str(work / "model"), "--device", "cpu"], None)  # fmt: skip
            with out.open() as rows:
                num_rows = sum(1 for _ in rows) - 1
            if peak.status or num_rows != number:
                sys.exit(f"error: {num_rows} rows of {number} files, status {peak.status}:"
                         f" {peak.output[-500:]}")  # fmt: skip
            print(f"| {number:,} | {peak.seconds:.0f} | {number / peak.seconds:.0f}"
                  f" | {peak.anonymous / 1e6:.0f} |", flush=True)  # fmt: skip


def written(folder: Path) -> Path:
    folder.mkdir()
    for number, square in enumerate(drawn_squares(SIZE, NUM_DRAWN)):
        (folder / f"{number}.png").write_bytes(png(square))
    return folder


if __name__ == "__main__":
    main()
