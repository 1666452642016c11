"""How `adapt` should learn, tried on simulated laboratories: no real one's test cells are spent.

The model's own validation and test cells, recoloured and coarsened, play the new laboratory; `rest`
is balanced accuracy on its cells that were not labelled, `kept` that on the same cells as they
were before. Run where `dvc repro` has run:

    python -m benchmarks.adapt_recipe mobilenet_v2 --labs dull grainy --recipes base head
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from wbc import device, model, params
from wbc.adapt import Adaptation, Recipe, fine_tune, lesson, settings
from wbc.augment import DYES, DYES_INVERSE, to_images
from wbc.backbones import Network
from wbc.framing import Framing
from wbc.labelled import draw
from wbc.pixels import PixelStore, allocate, finish, open_store, write_cells

Pixels = NDArray[np.uint8]

BASE = Recipe()
RECIPES = {
    "base": BASE,
    "head": dataclasses.replace(BASE, unfreeze="head", head_epochs=0, learning_rate=1e-3),
    "slow": dataclasses.replace(BASE, learning_rate=1e-4),
    "fast": dataclasses.replace(BASE, learning_rate=1e-3),
    "alone": dataclasses.replace(BASE, rehearsal=0.0),
    "rehearsal3": dataclasses.replace(BASE, rehearsal=3.0),
    "at_once": dataclasses.replace(BASE, head_epochs=0),
    "long": dataclasses.replace(BASE, epochs=40),
    "uncached": dataclasses.replace(BASE, cache_views=0),
}


def dull(cell: Pixels, _rng: np.random.Generator) -> Pixels:
    """Half the azure, a camera that hardly sees colour, 40 real pixels across."""
    faded = Image.fromarray(_restained(cell, 0.5, 1.0, light=(0.80, 0.82, 0.78), colour=0.4))
    small = faded.resize((40, 40), Image.Resampling.BOX)
    return np.asarray(small.resize(cell.shape[1::-1], Image.Resampling.BILINEAR))


def grainy(cell: Pixels, rng: np.random.Generator) -> Pixels:
    """Less azure, more eosin, little colour, and a coarse grain over everything."""
    faded = _restained(cell, 0.4, 1.2, light=(0.80, 0.82, 0.78), colour=0.4)
    grain = ndimage.gaussian_filter(rng.normal(0, 90, cell.shape), (2, 2, 0))
    return np.asarray((faded + grain).clip(0, 255), dtype=np.uint8)


def _restained(
    cell: Pixels, azure: float, eosin: float, light: tuple[float, float, float], colour: float
) -> Pixels:
    """Scale what each dye absorbs (wbc.augment), change the lamp's colour, mix with grey."""
    density = -np.log(np.maximum(cell, 1) / 255).reshape(-1, 3)
    change = DYES.numpy() * (np.array([azure, eosin]) - 1) @ DYES_INVERSE.numpy()
    density += density @ change.T
    light_through = np.exp(-density).reshape(cell.shape) * np.array(light)
    mixed = colour * light_through + (1 - colour) * light_through.mean(axis=2, keepdims=True)
    return np.asarray((255 * mixed).clip(0, 255), dtype=np.uint8)


LABS = {"dull": dull, "grainy": grainy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architecture")
    parser.add_argument("--labs", nargs="+", default=list(LABS))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    options = parser.parse_args()
    parent_dir = Path("models") / options.architecture
    print("| lab | draw | recipe | before | rest | kept before | kept | epoch |")
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    for lab in options.labs:
        with tempfile.TemporaryDirectory() as folder:
            store = simulate(open_store(Path("data/pixels")), lab, Path(folder))
            for seed in options.seeds:
                for line in trials(parent_dir, store, lab, seed, options.recipes):
                    print(line, flush=True)


def simulate(store: PixelStore, lab: str, folder: Path) -> PixelStore:
    """A store of the training cells, those of val and test, and the latter seen by the lab."""
    own = store.table[store.table["split"].isin(["train", "val", "test"])]
    twins = own[own["split"] != "train"].assign(split=lab, source=lab)
    kept = own[own["split"] != "train"].assign(split="kept")
    table = pd.concat([own[own["split"] == "train"], kept, twins], ignore_index=True)
    source = dataclasses.replace(store, table=table)
    size = int(store.settings["size"])
    places = allocate(folder, len(table), size, shard_cells=len(table))
    rng = np.random.default_rng(7)
    cells = ((place, LABS[lab](source.read([i])[0], rng) if table["split"][i] == lab
              else source.read([i])[0]) for i, place in enumerate(places))  # fmt: skip
    write_cells(folder, cells)
    index = table.assign(shard=[p[0] for p in places], row=[p[1] for p in places])
    finish(folder, index, Framing.of(store.settings).settings())
    return open_store(folder)


def trials(
    parent_dir: Path, store: PixelStore, lab: str, seed: int, names: list[str]
) -> Iterator[str]:
    train = params.load(Path("params.yaml")).train
    chosen = device.pick(train.device, train.precision, train.threads)
    parent = model.load(parent_dir)
    drawn = draw(store.part(lab).table, 20, seed)
    trunk = Network(parent.card["architecture"], 0.0, frozen_batch_norm=True)
    trunk.net.load_state_dict(parent.network.net.state_dict())
    trunk.unfreeze("upper")
    seen = {part: features(trunk, store.part(part)) for part in (lab, "kept")}
    labels = store.part(lab).labels
    before = [balanced(trunk, seen[part], labels, drawn.rest) for part in (lab, "kept")]
    for name in names:
        job = Adaptation(lab, 20, seed, RECIPES[name])
        cells, own = lesson(store, drawn, parent.card, job), settings(train, job.recipe)
        # Equal frozen layers of equal cells are computed once.
        scratch = store.folder / f"{seed}-{job.recipe.unfreeze}-{job.recipe.rehearsal}"
        scratch.mkdir(exist_ok=True)
        outcome = fine_tune(parent_dir, parent.card, cells, own, seed, chosen, scratch)
        (scratch / "last.ckpt").unlink()
        after = [balanced(outcome.network, seen[p], labels, drawn.rest) for p in (lab, "kept")]
        yield (
            f"| {lab} | {seed} | {name} | {before[0]:.3f} | {after[0]:.3f} | {before[1]:.3f}"
            f" | {after[1]:.3f} | {outcome.best['epoch']} |"
        )


@torch.inference_mode()
def features(trunk: Network, part: PixelStore) -> Tensor:
    """What the layers below `upper` make of all cells: no recipe changes it."""
    trunk.eval()
    return torch.cat([trunk.frozen(to_images(torch.from_numpy(x))) for x in part.batches(64)])


@torch.inference_mode()
def balanced(
    network: Network, seen: Tensor, labels: NDArray[np.int64], rest: NDArray[np.int64]
) -> float:
    """Mean recall over the classes."""
    network.eval()
    parts = np.array_split(rest, max(1, len(rest) // 64))
    decided = np.concatenate([network.learned(seen[p], "upper").argmax(1).numpy() for p in parts])
    truth = labels[rest]
    return float(np.mean([(decided[truth == k] == k).mean() for k in np.unique(truth)]))


if __name__ == "__main__":
    main()
