"""The whole stage evaluate, report included, against the bare forward pass over the same cells.

    python -m benchmarks.evaluate_stage [--network googlenet] [--cells 4339]

In a temporary folder: drawn cells at 224 pixels as val, test_a and another laboratory, a network
trained shortly, then
the forward pass alone (the folded network, batches of the stage's size) and
`python -m stages.evaluate` in turn. The aim: less than 1.3 times the forward pass and 60 s.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from benchmarks.drawn import draw_cells, fill
from wbc import device, model, params
from wbc.evaluation import predict
from wbc.pixels import open_store

ROOT = Path(__file__).resolve().parents[1]
SIZE, NUM_TRAIN, NUM_VAL, NUM_OTHER = 224, 600, 400, 600
OTHER: Final[dict[str, Any]] = {
    "kind": "sample",
    "name": "other",
    "role": "external",
    "num_cells": NUM_OTHER,
    "image_size": 200,
}
TIMES, SECONDS = 1.3, 60


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        settings = prepare(Path(), arguments.network, arguments.cells)
        for _ in range(arguments.rounds):
            forward = forward_pass(settings, arguments.network)
            stage = run_stage("evaluate", arguments.network)
            limit = TIMES * forward + SECONDS
            print(
                f"{arguments.network}, {arguments.cells + NUM_VAL + NUM_OTHER:,} cells: forward"
                f" {forward:.0f} s, evaluate {stage:.0f} s of at most {limit:.0f} s",
                flush=True,
            )


def prepare(folder: Path, network: str, num_cells: int) -> params.Params:
    """Code, parameters, drawn cells and a trained network in `folder`."""
    for name in ("stages", "wbc"):
        shutil.copytree(ROOT / name, folder / name)
    yaml = YAML()
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["architectures"] = [network]
    document["model"]["weights"] = "none"
    document["preprocess"].update(input_size=SIZE, crop="none")
    document["data"]["sources"].append(OTHER)
    document["train"].update(epochs=1, head_epochs=0, threads=0)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    for name in ("mlruns", "data/weights", "data/split"):
        (folder / name).mkdir(parents=True)
    counts = {"train": NUM_TRAIN, "val": NUM_VAL, "test_a": num_cells, OTHER["name"]: NUM_OTHER}
    table = draw_cells(folder / "data/raw", counts, side=256)
    table = table.assign(role="auto", official_split="", width=256, height=256)
    fill(table, folder / "data/raw", folder / "data/pixels", SIZE, "none")
    run_stage("weights", network)
    run_stage("train", network)
    return params.load(folder / "params.yaml")


def forward_pass(settings: params.Params, network: str) -> float:
    """Seconds for every evaluated cell to go through the network once."""
    device.pick("cpu", "auto", settings.train.threads)
    classifier = model.load(Path("models") / network)
    store = open_store(Path("data/pixels"))
    parts = [store.part(name) for name in store.evaluation_sets()]
    begin = time.perf_counter()
    for part in parts:
        predict(classifier, part, settings.evaluate.batch_size)
    return time.perf_counter() - begin


def run_stage(name: str, network: str) -> float:
    """Seconds that a stage takes as DVC starts it."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{name}", network],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stdout)
    return time.perf_counter() - begin


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="googlenet")
    parser.add_argument("--cells", type=int, default=4339)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
