"""All models beside each other, a figure for each evaluation set."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from wbc.figures import BLUE, VERMILION, headline, plain, set_title

MARKS = (
    ("balanced_accuracy", "balanced accuracy", BLUE, "o"),
    ("macro_f1", "macro-F1", VERMILION, "s"),
)


@plain()
def scores(models: pd.DataFrame, evaluation_set: str) -> Figure:
    """A row a model, in the table's order: both scores with their 95 % intervals."""
    shown = models[models[f"{evaluation_set}/macro_f1"].notna()]
    figure = Figure(figsize=(8.4, 2.0 + 0.5 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(shown), dtype=float)
    for (score, label, colour, marker), off in zip(MARKS, (-0.13, 0.13), strict=True):
        value, low, high = (
            shown[f"{evaluation_set}/{score}{end}"].astype(float) for end in ("", "/low", "/high")
        )
        spans = np.clip(np.vstack([value - low, high - value]), 0, None)
        style: dict[str, Any] = {"color": colour, "marker": marker, "ls": "", "ms": 5, "lw": 1.4}
        axes.errorbar(value, places + off, xerr=spans, label=label, capsize=2, **style)
    names = [f"{row['architecture']}\n({row['start']})" for row in shown.to_dict("records")]
    axes.set_yticks(places, names, fontsize=8.5)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(max(0.0, min(axes.get_xlim()[0], 0.99)), 1)
    for drawn in axes.get_children():
        drawn.set_clip_on(False)  # marks at 100 % are whole
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    headline(figure, f"{set_title(evaluation_set)}: all models", "with 95 % intervals")
    return figure
