"""What changes a result and by how much: each network trained shortly, under one change at a time.

    python -m benchmarks.exactness [NETWORK ...]

Two epochs of eight steps from random weights, all layers learning, on drawn blobs; every training
is a process of its own. Prints `equal` (every byte of weights and history), or the largest
difference of a weight and of the validation loss.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from wbc.architectures import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[1]
CHANGES: dict[str, tuple[list[str], dict[str, str]]] = {  # name -> options, environment
    "again": ([], {}),
    "interrupted": (["--stop"], {}),
    "1 thread instead of 2": (["--threads", "1"], {}),
    "AVX2 instead of what the CPU has": (
        [],
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    ),
}


class Interruption(BaseException):
    """As sudden as Ctrl-C."""


def train(architecture: str, result: Path, threads: int, stop: bool) -> None:
    """Train, interrupted at the end of epoch 2 if asked, and write weights and losses to a file."""
    import dataclasses

    from tests.wbc.stores import make_store
    from wbc import device, params, training
    from wbc.backbones import Network
    from wbc.plan import make_plan
    from wbc.training_module import Row

    loaded = params.load(ROOT / "params.yaml")
    chosen = dataclasses.replace(loaded.train, epochs=2, head_epochs=0, batch_size=10)
    with tempfile.TemporaryDirectory() as temporary:
        store = make_store(Path(temporary) / "pixels", {"train": 16, "val": 4})
        plan = make_plan(chosen, loaded.seed, False, store.part("train").labels)

        def fit(stop_after: int | None) -> training.Outcome:
            def on_epoch(epoch: int, _row: Row) -> None:
                if epoch == stop_after:
                    raise Interruption

            training.seed_everything(loaded.seed)
            network = Network(architecture, 0.2, frozen_batch_norm=False)
            cpu = device.pick("cpu", "auto", threads)
            return training.fit(network, store, plan, cpu, Path(temporary), on_epoch)

        try:
            outcome = fit(2 if stop else None)
        except Interruption:
            outcome = fit(None)
    state = {k: v.numpy() for k, v in outcome.network.net.state_dict().items()}
    losses = [[row["train/loss"], row["val/loss"]] for row in outcome.history]
    np.savez(result, allow_pickle=False, losses=np.array(losses), **state)


def difference(first: Path, second: Path) -> str:
    with np.load(first) as one, np.load(second) as other:
        if all(np.array_equal(one[name], other[name]) for name in one.files):
            return "equal"
        weights = (np.abs(one[n] - other[n]).max() for n in one.files if one[n].dtype == "float32")
        losses = np.abs(one["losses"] - other["losses"]).max(axis=0)
        return f"weights {max(weights):.1e}, val loss {losses[1]:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.exactness")
    parser.add_argument("networks", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stop", action="store_true")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)  # of a child
    options = parser.parse_args()
    if options.result:
        train(options.networks[0], options.result, options.threads, options.stop)
        return
    print(f"{'network':20}", *(f"{name:>34}" for name in CHANGES), flush=True)
    for name in options.networks or ARCHITECTURES:
        print(f"{name:20}", *(f"{words:>34}" for words in compare(name)), flush=True)


def compare(architecture: str) -> list[str]:
    """For each of CHANGES, how the result differs from the unchanged one."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _child(architecture, folder / "plain.npz", [], {})
        words = []
        for number, (arguments, environment) in enumerate(CHANGES.values()):
            result = folder / f"{number}.npz"
            _child(architecture, result, arguments, environment)
            words.append(difference(folder / "plain.npz", result))
        return words


def _child(name: str, result: Path, arguments: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "benchmarks.exactness", name, "--result", str(result)]
    changed = {**os.environ, **environment}
    subprocess.run([*command, *arguments], cwd=ROOT, env=changed, check=True, capture_output=True)


if __name__ == "__main__":
    main()
