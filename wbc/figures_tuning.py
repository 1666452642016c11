"""How the classical baseline was tuned, as a figure in the style of wbc.figures."""

import pandas as pd
from matplotlib.figure import Figure

from wbc.figures import BLUE, VERMILION, headline, plain


@plain()
def tuning(history: pd.DataFrame, best: int, model: str) -> Figure:
    """Macro-F1 over the strength of the penalty; `best` is the number (`epoch`) of the kept row."""
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for column, label, colour, marker in (
        ("cv/macro_f1", "cross-validation within training (chooses)", BLUE, "o"),
        ("val/macro_f1", "validation set (for comparison)", VERMILION, "s"),
    ):
        axes.plot(history["C"], history[column], marker, ls="-", color=colour, ms=4, label=label)
    low, high = (history["cv/macro_f1"] + s * history["cv/standard_error"] for s in (-1, 1))
    axes.fill_between(history["C"], low, high, color=BLUE, alpha=0.15, label="± 1 standard error")
    kept = history[history["epoch"] == best].iloc[0]
    axes.axvline(kept["C"], color="black", linestyle=":", linewidth=1.2)
    axes.plot(kept["C"], kept["cv/macro_f1"], "*", color="black", ms=13, zorder=4)
    axes.set(xscale="log", xlabel="C, the inverse of the penalty", ylabel="macro-F1")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="best", frameon=True)
    headline(
        figure,
        f"Tuning of {model}",
        f"kept: C = {kept['C']:g} (dotted), the smallest within one standard error of the best",
    )
    return figure
