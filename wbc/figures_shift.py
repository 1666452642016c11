"""Figures of shift: how far each set's cells lie from training, and what looks different there."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wbc.figures import GREY, SET_COLOURS, headline, plain, set_title
from wbc.picture_statistics import STATISTICS
from wbc.reference import NEIGHBOUR, Numbers

NUM_BINS = 60
SHOWN = 8.0  # standard deviations; what lies beyond is drawn at the edge with its number
MARKERS = "osD^vP*X"


@plain()
def distance_distributions(
    distances: Mapping[str, Numbers], limit: float, shares_far: Mapping[str, float], model: str
) -> Figure:
    """A row a set: the distribution of its cells' distances, and the share beyond the limit."""
    names = list(distances)
    figure = Figure(figsize=(8.4, 1.7 + 0.85 * len(names)), layout="constrained")
    rows = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    far = max(float(np.max(values)) for values in distances.values())
    bins = np.linspace(0, far * 1.02, NUM_BINS + 1)
    for axes, name, colour in zip(rows, names, _colours(names), strict=True):
        values = distances[name]
        axes.hist(values, bins, weights=np.full(len(values), 1 / len(values)), color=colour)
        axes.axvline(limit, color="black", linestyle="--", linewidth=1)
        axes.set_yticks([])
        axes.spines[["left", "right", "top"]].set_visible(False)
        axes.set_ylabel(
            f"{set_title(name)}\n{len(values):,} cells", rotation=0, ha="right", va="center"
        )
        axes.text(1.0, 0.9, f"{shares_far[name]:.0%} beyond", transform=axes.transAxes,
                  ha="right", va="top")  # fmt: skip
    rows[-1].set_xlabel(
        f"distance to the {NEIGHBOUR}th nearest training cell, in features of the model"
    )
    headline(
        figure,
        f"How far each set lies from the training cells of {model}",
        "dashed: 99 % of the validation cells lie to its left",
    )
    return figure


@plain()
def picture_differences(statistics: pd.DataFrame, sets: Sequence[str]) -> Figure:
    """Standardised differences from the training cells as dots, a row a statistic.

    `statistics`: columns set, statistic, difference (Study.statistics). `sets` in the order of
    the other figures, so that each keeps its colour.
    """
    figure = Figure(figsize=(8.4, 1.9 + 0.46 * len(STATISTICS)), layout="constrained")
    axes = figure.add_subplot()
    positions = {statistic.name: -row for row, statistic in enumerate(STATISTICS)}
    offsets = np.linspace(0.24, -0.24, len(sets)) if len(sets) > 1 else np.zeros(1)
    for number, (name, colour) in enumerate(zip(sets, _colours(sets), strict=True)):
        rows = statistics[statistics["set"] == name]
        values = rows["difference"].to_numpy(float)
        heights = np.array([positions[s] for s in rows["statistic"]]) + offsets[number]
        axes.plot(values.clip(-SHOWN, SHOWN), heights, MARKERS[number % len(MARKERS)],
                  color=colour, ms=6, label=set_title(name), clip_on=False, zorder=3)  # fmt: skip
        _write_beyond(axes, values, heights)
    axes.axvspan(-1, 1, color="#EEEEEE", zorder=0)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set(
        xlim=(-SHOWN - 0.8, SHOWN + 0.8), xlabel="difference of medians in standard deviations"
    )
    axes.set_yticks(
        list(positions.values()),
        [f"{s.title}\n← {s.low} · {s.high} →" for s in STATISTICS],
        fontsize=8.5,
    )
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.tick_params(length=0)
    axes.spines[["left", "right", "top"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    headline(figure, "How the pictures differ from the training cells'", "grey: less than 1 SD")
    return figure


def _write_beyond(axes: Axes, values: Numbers, heights: Numbers) -> None:
    for value, height in zip(values, heights, strict=True):
        if abs(value) > SHOWN:
            side = 1 if value > 0 else -1
            axes.text(side * (SHOWN - 0.25), height, f"{value:+.0f}", va="center", fontsize=8.5,
                      ha="right" if side > 0 else "left")  # fmt: skip


def _colours(names: Sequence[str]) -> list[str]:
    return [SET_COLOURS[i % len(SET_COLOURS)] for i in range(len(names))]
