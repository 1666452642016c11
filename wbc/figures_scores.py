"""Figures of the curves: ROC and precision-recall, reliability, risk-coverage.

They draw the tables of `wbc.evaluation.curve_tables` (reports/ARCH/curves/*.csv) and take their
numbers from metrics.json, so that a figure can be drawn again from the files.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from wbc.cells import CLASSES
from wbc.figures import (
    BLUE,
    GREEN,
    GREY,
    SET_COLOURS,
    VERMILION,
    headline,
    number_of_cells,
    plain,
    set_title,
)
from wbc.metrics import Scores, value

CLASS_COLOURS = (BLUE, "#E69F00", GREEN, "#CC79A7", "#56B4E9")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


@plain()
def roc_and_pr(
    tables: Mapping[str, pd.DataFrame],
    scores: Scores,
    evaluation_set: str,
    model: str,
    classes: Sequence[str] = CLASSES,
) -> Figure:
    """ROC on the left, precision over recall on the right, a line a class, areas in the legends."""
    figure = Figure(figsize=(8.4, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, kind, x, y, area in (
        (left, "roc", "fpr", "tpr", "auroc"),
        (right, "pr", "recall", "precision", "average_precision"),
    ):
        table = tables[kind][tables[kind]["set"] == evaluation_set]
        for position, name in enumerate(classes):
            own = table[table["class"] == name]
            if len(own) == 0:
                continue
            label = f"{name} {value(scores[area][name]):.3f}"
            style = {"color": CLASS_COLOURS[position], "ls": LINES[position], "lw": 1.6}
            axes.plot(own[x], own[y], label=label, drawstyle=_steps(kind), **style)
        _unit_square(axes)
    left.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    left.set(xlabel="false positive rate", ylabel="true positive rate (recall)")
    right.set(xlabel="recall", ylabel="precision")
    if scores["auroc"]:
        left.legend(title="area", loc="lower right", fontsize=8)
        right.legend(title="average precision", loc="best", fontsize=8)
        roc, pr = (value(scores[name]) for name in ("auroc_macro", "average_precision_macro"))
        below = (
            f"{number_of_cells(scores['num_cells'])}; mean area {roc:.3f}, mean"
            f" average precision {pr:.3f}"
        )
    else:
        below = "all cells are of one type, so there is nothing to tell apart"
    headline(figure, f"{set_title(evaluation_set)}: {model}, each type against all others", below)
    return figure


@plain()
def reliability(table: pd.DataFrame, scores: Scores, evaluation_set: str, model: str) -> Figure:
    """Accuracy over confidence, before and after the temperature, with the cells in each bin."""
    figure = Figure(figsize=(8.4, 5.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, height_ratios=(3, 1))
    own = table[table["set"] == evaluation_set]
    most = max(int(own["num_cells"].max()), 1)
    for column, (after, words, score, colour) in enumerate(
        (
            (False, "before temperature scaling", "ece_uncalibrated", VERMILION),
            (True, "after", "ece", BLUE),
        )
    ):
        bins = own[own["calibrated"] == after]
        filled = bins[bins["num_cells"] > 0]
        above, below = panels[0, column], panels[1, column]
        above.plot([0, 1], [0, 1], color=GREY, lw=0.8)
        sizes = 12 + 120 * np.sqrt(filled["num_cells"] / most)
        above.plot(filled["confidence"], filled["accuracy"], color=colour, lw=1, alpha=0.6)
        points = {"color": colour, "zorder": 3, "clip_on": False}
        above.scatter(filled["confidence"], filled["accuracy"], sizes, **points)
        for row in filled.to_dict("records"):
            above.plot([row["confidence"]] * 2, [row["confidence"], row["accuracy"]], "k:", lw=1)
        _unit_square(above)
        above.set_title(f"{words}: ECE {_with_interval(scores[score])}", fontsize=10)
        below.bar(bins["low"], bins["num_cells"], 1 / len(bins), align="edge", color=colour)
        below.set(xlabel="confidence: probability of the decision", ylim=(0, most * 1.25))
        for row in filled.to_dict("records"):
            place = ((row["low"] + row["high"]) / 2, row["num_cells"] + most * 0.03)
            below.text(*place, f"{row['num_cells']:,}", ha="center", fontsize=6.5)
        below.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("share that is right")
    panels[1, 0].set_ylabel("cells")
    headline(
        figure,
        f"{set_title(evaluation_set)}: how sure {model} is, and how often it is right",
        "on the line: as often right as it is sure; below the line: too sure",
    )
    return figure


@plain()
def risk_coverage(table: pd.DataFrame, metrics: Mapping[str, Scores], model: str) -> Figure:
    """Share of wrong decisions over the share of cells that are answered, surest first."""
    figure = Figure(figsize=(8.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for position, (name, scores) in enumerate(metrics.items()):
        own = table[table["set"] == name]
        label = f"{set_title(name)}, area {value(scores['aurc']):.4f}"
        style = LINES[position // len(SET_COLOURS) % len(LINES)]
        colour = SET_COLOURS[position % len(SET_COLOURS)]
        axes.plot(own["coverage"], own["risk"], ls=style, color=colour, label=label, lw=1.6)
    axes.set(xlim=(0, 1), xlabel="coverage: share of the cells that are answered, surest first")
    axes.set_ylim(0, max(0.02, float(table["risk"].max()) * 1.08))
    axes.set_ylabel("risk: share of wrong decisions among them")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    headline(figure, f"{model}: what it costs to answer more cells", "")
    return figure


def _steps(kind: str) -> str:
    """Between two thresholds precision is no straight line: it holds down to the next recall, and
    the table has recall falling."""
    return "default" if kind == "roc" else "steps-post"


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _with_interval(score: Mapping[str, float]) -> str:
    return f"{value(score):.3f} ({score['low']:.3f} to {score['high']:.3f})"
