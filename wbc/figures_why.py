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
from wbc.figures import BLUE, GREY, VERMILION, number_of_cells, plain, set_title
from wbc.figures_cells import GAP, LINE, WIDTH, blank, place
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
# Of the figure of shortcuts, in inches: side of a picture, from one row to the next, left of the
# pictures, above and below all rows.
_SIDE, _PITCH, _LEFT, _ABOVE, _BELOW = 1.25, 1.45, 0.45, 2 * 9 * LINE + 2 * GAP, 0.3


@plain()
def gradcam(explained: Explained, kind: str, model: str) -> Figure:
    """One kind of cells: a row a true class, each cell beside itself under its map."""
    shown = explained.of_kind(kind)
    present = [name for name in CLASSES if name in set(shown.cells["label"])]
    num_columns = max([3, *(int(n) for n in shown.cells["label"].value_counts())])
    words = captions(shown.cells)
    width = WIDTH / num_columns
    side = width / 2 - GAP
    above = 9 * LINE * max((text.count("\n") + 1 for text in words), default=1) + GAP
    pitch = above + side + 8 * LINE + 3 * GAP
    below = "right of each cell: what raised the score of the decision (Grad-CAM); line: half of it"
    title = f"{model}: {KIND_TITLES[kind]}"
    figure, axes = blank(pitch * len(present), title, below if present else "none")
    for row, name in enumerate(present):
        top = row * pitch + above
        for column, cell in enumerate(np.flatnonzero(shown.cells["label"] == name)):
            left = column * width + GAP / 2
            _pair(axes, shown.pixels[cell], shown.maps[cell], left, top, side)
            middle = left + side + GAP / 2
            axes.text(middle, top - GAP / 2, words[cell], ha="center", va="bottom", fontsize=9)
            where = set_title(str(shown.cells["set"].iloc[cell]))
            axes.text(middle, top + side + GAP / 2, where, ha="center", va="top", fontsize=8,
                      color=GREY)  # fmt: skip
    return figure


def _pair(
    axes: Axes,
    square: NDArray[np.uint8],
    values: NDArray[np.float32],
    left: float,
    top: float,
    side: float,
) -> None:
    place(axes, square, left, top, side)
    left += side + GAP
    colours = matplotlib.colormaps["viridis"](values)
    colours[..., 3] = OPAQUE * values
    place(axes, square, left, top, side)
    place(axes, colours, left, top, side)
    if values.max() > 0.5:
        middles = (np.arange(len(values)) + 0.5) * side / len(values)
        axes.contour(left + middles, top + middles, values, [0.5], colors="black", linewidths=0.9)


@plain()
def shortcuts(result: ShortcutCheck, model: str) -> Figure:
    """A row a class: one cell in the three views, and the recall in each with its interval."""
    rows = result.table.to_dict("records")
    title = f"{set_title(result.evaluation_set)}: what {model} knows without cell or background"
    below = "informedness: share of a type's blank pictures called so, less that of the others'"
    figure, axes = blank(_ABOVE + _PITCH * len(rows) + _BELOW, title, below)
    for number, row in enumerate(rows):
        top = _ABOVE + number * _PITCH
        words = f"{row['class']}\n{number_of_cells(row['num_cells'])}"
        axes.text(_LEFT - GAP, top + _SIDE / 2, words, rotation=90, ha="right", va="center",
                  multialignment="center", fontsize=9)  # fmt: skip
        for view in range(len(VIEWS)):
            place(axes, result.examples[number, view], _LEFT + view * (_SIDE + GAP), top, _SIDE)
    for view, words in enumerate(VIEW_TITLES):
        middle = _LEFT + view * (_SIDE + GAP) + _SIDE / 2
        axes.text(middle, _ABOVE - GAP, words.replace(" blanked", "\nblanked"), ha="center",
                  va="bottom", fontsize=9)  # fmt: skip
    left, height = _LEFT + len(VIEWS) * (_SIDE + GAP) + 2 * GAP, _PITCH * len(rows)
    bars = figure.add_axes((
        left / WIDTH, _BELOW / figure.get_figheight(),
        (WIDTH - left - GAP) / WIDTH, height / figure.get_figheight(),
    ))  # fmt: skip
    for number, row in enumerate(rows):
        _bars(bars, row, number * _PITCH)
    bars.set(xlim=(0, 1.75), ylim=(height, 0), yticks=[])
    bars.set_xticks(np.arange(0, 1.01, 0.25))
    bars.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bars.tick_params(axis="x", labelsize=8)
    bars.spines[["top", "right"]].set_visible(False)
    bars.spines["bottom"].set_bounds(0, 1)
    axes.text(left, _ABOVE - GAP, "recall, 95 % interval", va="bottom", fontsize=9)
    return figure


def _bars(axes: Axes, row: dict[Any, Any], top: float) -> None:
    """The three bars of a class and its verdict, from `top` inches on."""
    for number, (view, colour) in enumerate(zip(VIEWS, VIEW_COLOURS, strict=True)):
        value, low, high = row[view], row[f"{view}_low"], row[f"{view}_high"]
        middle = top + _SIDE * (0.13 + 0.27 * number)
        axes.barh(middle, value, 0.2 * _SIDE, color=colour)
        axes.hlines(middle, low, high, color="black", linewidth=1.2)
        axes.text(1.03, middle, f"{value:.0%} {VIEW_TITLES[number]}", va="center", fontsize=8)
    low, high = row["informedness_low"], row["informedness_high"]
    told = str(row["background"])
    text = f"{VERDICTS[told]}: informedness {row['informedness']:.2f} ({low:.2f} to {high:.2f})"
    colour = "black" if told == "no" else "#A63C00"
    axes.text(0.015, top + 0.92 * _SIDE, text, va="center", fontsize=8, color=colour)
