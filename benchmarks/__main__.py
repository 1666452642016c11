"""All speed measurements in a quarter of an hour: `make bench`, as Markdown.

Everything is measured against something else in the same run, in turn; ratios are medians over
the rounds, with their extremes. Run it on a machine that does nothing else.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks import evaluation, preprocessing, startup, training
from wbc.architectures import ARCHITECTURES

TRAINING = 600  # seconds, which the networks share; slow machines get two rounds instead of three
# Of these, 4 steps take less than a second.
QUICK = ("mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x1_0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(ARCHITECTURES))
    networks = parser.parse_args().networks
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        heading("Training, 224 pixels, batch 16, `unfreeze: upper`")
        cells = training.Cells(folder / "training", num_images=64)
        longer = training.Cells(folder / "longer", num_images=64, num_steps=10)
        print(training.HEADER)
        end = time.monotonic() + TRAINING
        for number, network in enumerate(networks):
            of_them = longer if network in QUICK else cells
            share = (end - time.monotonic()) / (len(networks) - number)
            rates = training.measure(network, of_them, 3, seconds=share)
            print(training.row(network, rates), flush=True)
        heading("Preprocessing, 575 to 224 pixels, two processes")
        pictures = preprocessing.draw_pictures(new(folder / "pictures"))
        for line in preprocessing.report(pictures, 2000, 2):
            print(line, flush=True)
        heading("Evaluation, 224 pixels, batch 64")
        store = evaluation.drawn_store(folder / "evaluation", 64)
        print(evaluation.HEADER)
        for network in networks:
            print(evaluation.row(network, evaluation.measure(network, store, 3)), flush=True)
    heading("Start-up")
    print("\n".join(startup.table(1)))
    print(f"\n{(time.monotonic() - begin) / 60:.1f} minutes")


def heading(words: str) -> None:
    print(f"\n## {words}\n", flush=True)


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
