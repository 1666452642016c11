"""How nuclei and cytoplasm are stained, in real and simulated laboratories: no label is read.

    python -m benchmarks.generalisation.densities --pbc DIR [--other DIR ...] [--cells 100]

prints, for every set of pictures, the 5th, 50th and 95th percentile over cells of the optical
density of green in nucleus and cytoplasm, of their ratio, and of red's density over green's in the
nucleus (azure absorbs red, eosin does not). A simulated laboratory that is to stand for real ones
has to reach as far as they do.
"""

import argparse
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from PIL import Image

from benchmarks.generalisation.microscopes import LABORATORIES, seen_by
from wbc.localisation import outline
from wbc.staining import background_colour

NAMES = ("nucleus", "cytoplasm", "nucleus / cytoplasm", "red / green of nucleus")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pbc", type=Path, required=True)
    parser.add_argument("--other", type=Path, nargs="*", default=[], help="folders of pictures")
    parser.add_argument("--cells", type=int, default=100, help="of each set")
    arguments = parser.parse_args()
    print(f"| set | cells | {' | '.join(NAMES)} |\n|---|---|---|---|---|---|")
    own = _drawn(arguments.pbc, arguments.cells)
    _show("PBC", own, None)
    for laboratory in LABORATORIES:
        _show(laboratory, own, laboratory)
    for folder in arguments.other:
        _show(folder.name, _drawn(folder, arguments.cells), None)


def _drawn(folder: Path, count: int) -> list[Path]:
    paths = sorted(p for p in folder.rglob("*.jpg") if "mask" not in str(p).lower())
    return [paths[i] for i in np.random.default_rng(0).permutation(len(paths))[:count]]


def _show(name: str, paths: list[Path], laboratory: str | None) -> None:
    found = Parallel(n_jobs=-1)(
        delayed(_densities)(path, laboratory, number) for number, path in enumerate(paths)
    )
    values = np.array([each for each in found if each is not None])
    limits = np.quantile(values, [0.05, 0.5, 0.95], axis=0).T
    cells = [f"{middle:.2f} ({low:.2f}-{high:.2f})" for low, middle, high in limits]
    print(f"| {name} | {len(values)} | {' | '.join(cells)} |", flush=True)


def _densities(path: Path, laboratory: str | None, number: int) -> NDArray[np.float64] | None:
    picture = np.asarray(Image.open(path).convert("RGB"))
    if laboratory:
        picture = seen_by(laboratory, picture, number)
    cell = outline(picture)
    if cell is None:
        return None
    part = Image.fromarray(picture[cell.rows, cell.columns])
    small = np.asarray(part.resize(cell.cell.shape[::-1], Image.Resampling.BOX), np.float64)
    density = np.log((background_colour(picture) + 1) / (small + 1))
    rim = cell.cell & ~cell.nucleus
    if np.count_nonzero(rim) < 20:
        return None
    nucleus, cytoplasm = (np.median(density[mask], axis=0) for mask in (cell.nucleus, rim))
    green = max(nucleus[1], 0.01)
    return np.array([nucleus[1], cytoplasm[1], green / max(cytoplasm[1], 0.01), nucleus[0] / green])


if __name__ == "__main__":
    main()
