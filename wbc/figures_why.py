"""Figures of why a network decides as it does: Grad-CAM and the shortcut check.

Maps are drawn in viridis, which colour-blind readers can order and which no stain resembles, the
more opaque the higher; a line surrounds what is above half of the maximum.
"""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from wbc.cells import CLASSES
from wbc.explain import Explained, captions
from wbc.figures import (
    BLUE,
    GREY,
    VERMILION,
    headline,
    number_of_cells,
    plain,
    set_title,
)
from wbc.shortcuts import VIEWS, ShortcutCheck

KIND_TITLES = {
    "correct": "surest right decisions",
    "wrong": "surest wrong decisions (true type → decision)",
    "near-threshold": "closest decisions (smallest lead over the runner-up)",
}
VIEW_TITLES = ("as it is", "cell blanked out", "background blanked out")
VIEW_COLOURS = (GREY, VERMILION, BLUE)
VERDICTS = {
    "decides": "BACKGROUND DECIDES",
    "hints": "background hints",
    "no": "background tells little or nothing",
}
OPAQUE = 0.6  # of the highest place; the cell must stay visible below


@plain()
def gradcam(explained: Explained, kind: str, model: str) -> Figure:
    """One kind of cells: a row a true class, each cell beside itself under its map."""
    shown = explained.of_kind(kind)
    present = [name for name in CLASSES if name in set(shown.cells["label"])]
    num_pairs = max([1, *(int(n) for n in shown.cells["label"].value_counts())])
    figure = Figure(figsize=(8.4, 1.1 + 1.75 * len(present)), layout="constrained")
    grid = figure.add_gridspec(max(1, len(present)), max(3, num_pairs))
    words = captions(shown.cells)
    for row, name in enumerate(present):
        for column, place in enumerate(np.flatnonzero(shown.cells["label"] == name)):
            tile = figure.add_subplot(grid[row, column])
            _pair(tile, shown.pixels[place], shown.maps[place])
            where = set_title(str(shown.cells["set"].iloc[place]))
            tile.set_title(words[place], fontsize=9, pad=3)
            tile.set_xlabel(where, fontsize=8, color=GREY, labelpad=2)
    title = f"{model}: {KIND_TITLES[kind]}"
    below = "right of each cell: what raised the score of the decision (Grad-CAM); line: half of it"
    headline(figure, title, below if present else "none")
    return figure


def _pair(tile: Axes, square: NDArray[np.uint8], values: NDArray[np.float32]) -> None:
    side = square.shape[0]
    gap = max(1, side // 30)
    places = (-0.5, side - 0.5), (side + gap - 0.5, 2 * side + gap - 0.5)
    for left, right in places:
        tile.imshow(square, extent=(left, right, side - 0.5, -0.5))
    left, right = places[1]
    colours = matplotlib.colormaps["viridis"](values)
    colours[..., 3] = OPAQUE * values
    tile.imshow(colours, extent=(left, right, side - 0.5, -0.5))
    if values.max() > 0.5:
        steps = np.arange(side) + side + gap
        tile.contour(steps, np.arange(side), values, [0.5], colors="black", linewidths=0.9)
    tile.set(xlim=(-0.5, right), ylim=(side - 0.5, -0.5), xticks=[], yticks=[])
    tile.set_aspect("equal")
    tile.spines[:].set_visible(False)


@plain()
def shortcuts(result: ShortcutCheck, model: str) -> Figure:
    """A row a class: one cell in the three views, and the recall in each with its interval."""
    rows = result.table.to_dict("records")
    figure = Figure(figsize=(8.4, 1.5 + 1.35 * len(rows)), layout="constrained")
    grid = figure.add_gridspec(len(rows), 4, width_ratios=(1, 1, 1, 2.9))
    for number, row in enumerate(rows):
        for view in range(len(VIEWS)):
            tile = figure.add_subplot(grid[number, view])
            tile.imshow(result.examples[number, view])
            tile.set(xticks=[], yticks=[])
            tile.spines[:].set_visible(False)
            if view == 0:
                tile.set_ylabel(f"{row['class']}\n{number_of_cells(row['num_cells'])}", fontsize=9)
            if number == 0:
                tile.set_title(VIEW_TITLES[view].replace(" blanked", "\nblanked"), fontsize=9)
        bars = figure.add_subplot(grid[number, 3])
        _bars(bars, row)
        if number == 0:
            bars.set_title("recall, 95 % interval", fontsize=9)
        if number < len(rows) - 1:
            bars.set_xticklabels([])
    title = f"{set_title(result.evaluation_set)}: what {model} knows without cell or background"
    below = "informedness: share of a type's blank pictures called so, less that of the others'"
    headline(figure, title, below)
    return figure


def _bars(axes: Axes, row: dict[Any, Any]) -> None:
    for place, (view, colour) in enumerate(zip(VIEWS, VIEW_COLOURS, strict=True)):
        value, low, high = row[view], row[f"{view}_low"], row[f"{view}_high"]
        axes.barh(place, value, 0.72, color=colour)
        axes.hlines(place, low, high, color="black", linewidth=1.2)
        axes.text(1.03, place, f"{value:.0%} {VIEW_TITLES[place]}", va="center",
                  fontsize=8)  # fmt: skip
    low, high = row["informedness_low"], row["informedness_high"]
    told = str(row["background"])
    text = f"{VERDICTS[told]}: informedness {row['informedness']:.2f} ({low:.2f} to {high:.2f})"
    colour = "black" if told == "no" else "#A63C00"
    axes.text(0, 2.85, text, va="center", fontsize=8, color=colour)
    axes.set(xlim=(0, 1.75), ylim=(3.3, -0.5), yticks=[])
    axes.set_xticks(np.arange(0, 1.01, 0.25))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines["bottom"].set_bounds(0, 1)
