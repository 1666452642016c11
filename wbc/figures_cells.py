"""Figures that consist of cells' pictures, placed in inches.

A set of axes a picture, which matplotlib lays out, would cost ten times as much to draw.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wbc.figures import GREY, headline, plain, set_title
from wbc.metrics import decided_probability

WIDTH = 8.4  # inches
GAP = 0.06  # inches, between pictures and around all
LINE = 1.2 / 72  # inches, height of a line of text of one point
NUM_COLUMNS = 6


def blank(height: float, title: str, below: str) -> tuple[Figure, Axes]:
    """A figure with its headline, and below it bare axes in inches, y down: (0, 0) is top left."""
    height = max(height, GAP)
    figure = Figure(figsize=(WIDTH, height))
    heading = headline(figure, title, below)
    whole = height + 2 * GAP + 12 * LINE * len(heading.get_text().splitlines())
    figure.set_figheight(whole)
    heading.set_y(1 - GAP / whole)
    axes = figure.add_axes((0, 0, 1, height / whole))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    return figure, axes


def place(axes: Axes, pixels: NDArray[Any], left: float, top: float, side: float) -> None:
    """A square picture (S, S, 3 or 4) in axes of `blank`; all in inches."""
    axes.imshow(pixels, extent=(left, left + side, top + side, top), aspect="auto")


@plain()
def mistakes(
    pixels: NDArray[np.uint8], shown: pd.DataFrame, num_wrong: int, evaluation_set: str, model: str
) -> Figure:
    """Contact sheet of wrong decisions: pixels (n, S, S, 3) and their n rows of predictions.csv.

    `num_wrong` counts all mistakes in the set, of which `shown` may be a choice; with none the
    figure says so.
    """
    choice = "" if len(shown) == num_wrong else f", {len(shown)} shown, of each type the surest"
    width = WIDTH / NUM_COLUMNS
    side = width - GAP
    above = 2 * 9 * LINE + GAP
    pitch = above + side + 7.5 * LINE + 3 * GAP
    figure, axes = blank(
        pitch * -(-len(shown) // NUM_COLUMNS),
        f"{set_title(evaluation_set)}: cells that {model} got wrong",
        f"{num_wrong:,} wrong{choice}; above: true type → decision and its probability"
        if num_wrong
        else "none: every cell of this set was named right",
    )
    rows = zip(shown.to_dict("records"), decided_probability(shown), pixels, strict=True)
    for number, (row, sure, image) in enumerate(rows):
        left = number % NUM_COLUMNS * width + GAP / 2
        top = number // NUM_COLUMNS * pitch + above
        place(axes, image, left, top, side)
        words = f"{row['label']} →\n{row['predicted']} {sure:.0%}"
        middle = left + side / 2
        axes.text(middle, top - GAP / 2, words, ha="center", va="bottom", fontsize=9)
        axes.text(
            middle, top + side + GAP / 2, _short(str(row["path"])), ha="center", va="top",
            fontsize=7.5, color=GREY, parse_math=False,
        )  # fmt: skip
    return figure


def _short(path: str, length: int = 22) -> str:
    """A file's name without its folder, its middle left out where it is long."""
    name = path.rsplit("/", 1)[-1]
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"
