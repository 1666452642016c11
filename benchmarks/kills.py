"""Kill a training at counted moments, continue it, and compare what it ends in, byte for byte.

    python -m benchmarks.kills [--points 40] [--twice] [--cached] [--workers] [FOLDER]

Every kind of moment is tried (in a step, in validation, within the writing of a checkpoint, of the
model, while the scratch folder is removed, ...) and more of them up to `--points`; 0 tries all.
With `--twice` the continued training is killed once more, with `--cached` it trains on cached
features (`train.cache_views`), with `--workers` two processes read for it, which are killed with
it. Exit status 1 if any ends otherwise.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kill_points import NAME, run_child
from wbc.tracking.relocate import relocate

ROOT = Path(__file__).resolve().parents[1]
SMALL = {  # params.yaml's values that are replaced; the keys are regular expressions
    r"architectures: \[googlenet": f"architectures: [{NAME}",
    "weights: auto": f"weights: data/weights/{NAME}.safetensors",
    "device: auto": "device: cpu",
    "threads: 2": "threads: 1",
    "head_epochs: 2": "head_epochs: 1",
    "epochs: 10": "epochs: 4",
    "batch_size: 16": "batch_size: 8",
}
CACHED = {"cache_views: 0": "cache_views: 2"}
WORKERS = {"loader_workers: 0": "loader_workers: 2"}
OUTPUTS = ("model.safetensors", "model.json", "reference.safetensors", "history.csv")
PREPARE = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from tests.wbc.stores import make_store
from wbc import weights
from wbc.tracking import store as tracking_store
from wbc.backbones import Network
folder, name = Path(sys.argv[1]), sys.argv[2]
make_store(folder / "data" / "pixels")
torch.manual_seed(1)
(folder / "data" / "weights").mkdir()
file = f"data/weights/{name}.safetensors"
save_file(Network(name, 0.0, frozen_batch_norm=True).net.state_dict(), folder / file)
weights.resolve(name, file, folder, folder / "models" / name / "start")
tracking_store.connect(folder)
"""


@dataclass(frozen=True)
class Trial:
    """One kill, or several: where, after which epoch it went on (0: from the start), the result."""

    moments: tuple[str, ...]
    resumed: tuple[int, ...]
    equal: bool
    log: str


def prepare(folder: Path, changes: Mapping[str, str] | None = None) -> None:
    """A workspace for the stage train: pixels of blobs, made-up weights, MLflow's database.

    changes: of params.yaml, beside SMALL.
    """
    (folder / "mlruns").mkdir(parents=True)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for old, new in {**SMALL, **(changes or {})}.items():
        assert re.search(rf"^ *{old}\b", text, re.MULTILINE), f"params.yaml has no {old}"
        text = re.sub(rf"^( *){old}\b", rf"\g<1>{new}", text, count=1, flags=re.MULTILINE)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", PREPARE, str(folder), NAME]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def preload() -> None:
    """Import once what every child needs; one thread, because threads do not survive a fork."""
    import mlflow.store.tracking.sqlalchemy_store  # half of a child's time
    import mlflow.tracking  # noqa: F401
    import torch

    import stages.train  # noqa: F401

    torch.set_num_threads(1)


def reference(folder: Path) -> tuple[str, list[str]]:
    """What an undisturbed training in `folder` ends in, and its moments."""
    status, moments, log = run_child(folder, None)
    assert status == 0, log
    return digest(folder), moments


def copy(template: Path, folder: Path) -> None:
    """The workspace at another place, with MLflow's database told so."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    relocate(folder)


def digest(folder: Path) -> str:
    contents = [(folder / "models" / NAME / name).read_bytes() for name in OUTPUTS]
    return hashlib.sha256(b"".join(contents)).hexdigest()


def try_kills(template: Path, folder: Path, expected: str, kills: tuple[int, ...]) -> Trial:
    """Train in a copy of `template`, killed at each of these moments in turn, then to the end."""
    copy(template, folder)
    where: list[str] = []
    resumed: list[int] = []
    for kill in (*kills, None):
        for name in OUTPUTS:  # as DVC does before it runs a stage
            (folder / "models" / NAME / name).unlink(missing_ok=True)
        status, moments, log = run_child(folder, kill)
        if where:
            found = re.search(r"interrupted training after epoch (\d+)", log)
            resumed.append(int(found.group(1)) if found else 0)
        if status == 0:
            break  # at the end, or before that many moments came
        if status != -9 or kill is None:
            return Trial(tuple(where), tuple(resumed), False, log)
        where.append(moments[-1])
    clean = not any((folder / "scratch").iterdir())
    return Trial(tuple(where), tuple(resumed), clean and digest(folder) == expected, log)


def choose(moments: list[str], points: int) -> list[int]:
    """The middle one of each kind, and others at even distances up to `points` (0: all)."""
    if not points:
        return list(range(len(moments)))
    kinds = {name: [i for i, other in enumerate(moments) if other == name] for name in moments}
    chosen = {places[len(places) // 2] for places in kinds.values()}
    others = [i for i in range(len(moments)) if i not in chosen]
    missing = max(0, points - len(chosen))
    chosen |= {others[i * len(others) // missing] for i in range(min(missing, len(others)))}
    return sorted(chosen)


def trials(
    folder: Path, points: int, twice: bool, changes: Mapping[str, str]
) -> Iterator[tuple[tuple[int, ...], Trial]]:
    template = folder / "template"
    prepare(template, changes)
    preload()
    copy(template, folder / "undisturbed")
    expected, moments = reference(folder / "undisturbed")
    for first in choose(moments, points):
        kills = (first, max(1, len(moments) // 5)) if twice else (first,)
        yield kills, try_kills(template, folder / "killed", expected, kills)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.kills")
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--twice", action="store_true")
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--workers", action="store_true")
    parser.add_argument("folder", type=Path, nargs="?", help="to work in; empty or not there")
    options = parser.parse_args()
    changes = (CACHED if options.cached else {}) | (WORKERS if options.workers else {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        tried = equal = 0
        print("moment  where it was killed -> went on after epoch: same bytes")
        for kills, trial in trials(folder, options.points, options.twice, changes):
            tried, equal = tried + 1, equal + trial.equal
            pairs = zip(trial.moments, (*trial.resumed, "?"), strict=False)
            words = ", ".join(f"{name} -> {epoch}" for name, epoch in pairs)
            print(f"{kills[0]:6d}  {words}: {'yes' if trial.equal else 'NO'}", flush=True)
            if not trial.equal:
                print(trial.log)
    print(f"{tried} kill points tried, {equal} ended in the same bytes")
    sys.exit(equal != tried)


if __name__ == "__main__":
    main()
