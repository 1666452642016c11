"""The differential as a laboratory reads it: percent of each type, true, counted and adjusted."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from wbc import counts
from wbc.figures import BLUE, GREY, SET_TITLES, VERMILION, headline, plain, set_title

_HEIGHT = 0.2  # from the middle of a row to either interval, in rows
# Columns of value and ends, colour, marker.
_COUNTED = ("percent", "low", "high", BLUE, "o")
_ADJUSTED = ("adjusted", "adjusted_low", "adjusted_high", VERMILION, "s")


@plain()
def differential(table: pd.DataFrame, name: str, model: str) -> Figure:
    """One set of counts.csv (or `counts.differential`'s table of one slide, without truth).

    A row a type: a bar for the true share where it is known, a dot with Rümke's interval for what
    was counted, a square with its bootstrap interval for the adjusted count. Where the table has
    columns range_low and range_high, a light band for the reference range.
    """
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(table), dtype=np.float64)
    num_cells = int(table["n"].iloc[0])
    handles, truth, names = [], np.zeros(len(table)), list(table["class"])
    if "true_count" in table:
        truth = (100 * table["true_count"] / num_cells).to_numpy()
        names = [f"{n}\ntruth: {t:.1f}" for n, t in zip(names, truth, strict=True)]
        axes.barh(places, truth, 0.78, color="#DDDDDD", edgecolor=GREY, linewidth=0.8)
        handles.append(Line2D([], [], marker="s", ls="", ms=11, mfc="#DDDDDD", mec=GREY))
        handles[-1].set_label("true")
    if "range_low" in table:
        width = table["range_high"] - table["range_low"]
        axes.barh(places, width, 0.86, left=table["range_low"], color="#DCEBF5")
        handles.append(Line2D([], [], marker="s", ls="", ms=11, mfc="#DCEBF5", mec="#DCEBF5"))
        handles[-1].set_label("reference range")
    handles.append(_dots(axes, places - _HEIGHT, table, _COUNTED, truth))
    handles[-1].set_label("counted, with Rümke's interval")
    if table["adjusted"].notna().all():
        handles.append(_dots(axes, places + _HEIGHT, table, _ADJUSTED, truth))
        handles[-1].set_label("adjusted for the errors known from validation")
    axes.set_yticks(places, names)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlim(0, 115)
    axes.set(xlabel="percent of the leukocytes")
    axes.set_xticks(range(0, 101, 10))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3 if len(handles) < 4 else 2,
        frameon=False,
        fontsize=9,
    )
    title = set_title(name) if "true_count" in table else name
    headline(figure, f"{title}: differential by {model}", "; ".join(_notes(table, name, num_cells)))
    return figure


def _notes(table: pd.DataFrame, name: str, num_cells: int) -> list[str]:
    notes = [counts.caution(num_cells) or f"{num_cells:,} cells", "95 % intervals"]
    if "true_count" in table and name not in SET_TITLES:
        notes.append("adjusted as if errors were as in validation")
    return notes


def _dots(
    axes: Axes,
    places: NDArray[np.float64],
    table: pd.DataFrame,
    look: tuple[str, str, str, str, str],
    truth: NDArray[np.float64],
) -> Line2D:
    """Markers with intervals and their numbers, right of all that is drawn; the legend's handle."""
    *columns, colour, marker = look
    value, low, high = (table[column].to_numpy(np.float64) for column in columns)
    axes.hlines(places, low, high, color=colour, linewidth=2)
    axes.plot(value, places, marker, color=colour, ms=6)
    for row, place in enumerate(places):
        text = f"{value[row]:.1f} ({low[row]:.1f}–{high[row]:.1f})"
        right = max(high[row], truth[row]) + 1.2
        axes.text(right, place, text, va="center", fontsize=8.5, color="black")
    return Line2D([], [], marker=marker, color=colour, ms=6, linewidth=2)
