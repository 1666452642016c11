"""Whether dyes and granules keep their colours: what `train.augment` does to real cells.

    python -m benchmarks.granules --images DIR [--cells 40] [NAME=VALUE ...]

DIR has one folder a class. Prints how much of the optical density the two dyes of wbc.augment
explain and how many pixels would need less than none of one; then the hue (HSV, degrees, blue 240,
magenta 300, red 360) of eosinophils' and basophils' granules, each cell's median colour, under
4,000 draws of the settings of params.yaml, changed by NAME=VALUE.
"""

import argparse
import colorsys
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wbc import params
from wbc.augment import DYES, DYES_INVERSE, NUM_DRAWS, augment, uniform_draws
from wbc.imaging import Framing, prepare
from wbc.params import Augment
from wbc.staining import absorbed, background_colour

SIDE, STAINED, NUM_DRAWN = 224, 0.25, 4000
GLASS = (253, 233, 210)  # PBC's
Cells = list[NDArray[np.uint8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    changes = {name: float(value) for name, value in (s.split("=") for s in arguments.settings)}
    shipped = params.load(Path("params.yaml")).train.augment
    # contrast needs a whole picture, the rest moves or blurs and leaves a colour as it is
    still: dict[str, Any] = {"flips": False, "rotation": 0.0, "scale": 0.0, "shift": 0.0}
    settings = dataclasses.replace(
        shipped, **{**changes, **still, "contrast": 0.0, "microscope_share": 0.0}
    )
    cells = {d.name: read(d, arguments.cells) for d in sorted(arguments.images.iterdir())}
    for name, pictures in cells.items():
        print(f"{name:12s} {fit(pictures)}")
    pink = hues(granules(cells["eosinophil"], dark=False), settings)
    violet = hues(granules(cells["basophil"], dark=True), settings)
    apart = np.median(pink, axis=0) - np.median(violet, axis=0)  # draw by draw: one laboratory
    for name, values in (("eosinophils", pink), ("basophils", violet), ("apart", apart)):
        print(name, "0, 1, 50, 99, 100 %:", np.percentile(values, [0, 1, 50, 99, 100]).round())
    print(
        f"no cell of one on the other's side: {(pink.min(0) > violet.max(0)).mean():.1%} of draws"
    )


def read(folder: Path, count: int) -> Cells:
    files = sorted(folder.iterdir())
    files = files[:: max(1, len(files) // count)][:count]
    return [prepare(file.read_bytes(), Framing(SIDE, "cell", 1.5)).pixels for file in files]


def fit(pictures: Cells) -> str:
    residuals, amounts = [], []
    for picture in pictures:
        light = np.clip(picture / background_colour(picture), 1 / 255, None)
        density = -np.log(light).reshape(-1, 3)
        density = density[density.max(axis=1) > STAINED]
        amount = density @ DYES_INVERSE.numpy().T
        rest = np.linalg.norm(density - amount @ DYES.numpy().T, axis=1)
        residuals.append(rest / np.linalg.norm(density, axis=1))
        amounts.append(amount)
    negative = (np.concatenate(amounts) < -0.02).mean(axis=0)
    return (
        f"not explained {np.median(np.concatenate(residuals)):.2f} of the density (median);"
        f" azure below 0 in {negative[0]:.1%} of the pixels, eosin in {negative[1]:.1%}"
    )


def granules(pictures: Cells, dark: bool) -> list[NDArray[np.float64]]:
    """Near the middle: basophils' are the densest, eosinophils' the least violet parts."""
    colours = []
    down, across = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    for picture in pictures:
        stain = absorbed(picture, background_colour(picture), 1.0)
        inside = (np.hypot(down, across) < 0.27 * SIDE) & (stain.density > STAINED)
        if dark:
            inside &= stain.density > np.quantile(stain.density[inside], 0.6)
        else:
            inside &= stain.hue < np.median(stain.hue[inside])
        colours.append(np.median(picture[inside], axis=0))
    return colours


def hues(colours: list[NDArray[np.float64]], settings: Augment) -> NDArray[np.float64]:
    """(cells, draws), degrees, from 120 (green) on; each colour lies beside bare glass."""
    draws = uniform_draws(1, 0, np.arange(NUM_DRAWN), NUM_DRAWS)
    rows = []
    for colour in colours:
        both = torch.tensor(np.stack([colour, GLASS], axis=1) / 255, dtype=torch.float32)
        flat = both.repeat_interleave(8, dim=1).view(1, 3, 1, 16)
        out = augment(flat.expand(NUM_DRAWN, 3, 8, 16), draws, settings)[:, :, 0, 0]
        turns = np.array([colorsys.rgb_to_hsv(*each)[0] for each in out.tolist()])
        rows.append(360 * ((turns - 1 / 3) % 1 + 1 / 3))
    return np.array(rows)


if __name__ == "__main__":
    main()
