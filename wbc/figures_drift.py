"""Figures of drift: a folder's cells beside the reference's, measure by measure."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from wbc.binomial import clopper_pearson
from wbc.drift import stratified
from wbc.drift.findings import Cells, Finding, values_of
from wbc.figures import BLUE, GREY, VERMILION, headline, plain

NUM_BINS = 24
COLUMNS = 3
HERE, THERE = "this folder", "reference (validation cells)"


@plain()
def class_mix(found: NDArray[np.int64], usual: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Shares of the classes decided on, with exact 95 % intervals."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(classes))
    for counts, offset, colour, name in ((found, -0.2, BLUE, HERE), (usual, 0.2, GREY, THERE)):
        shares = counts / counts.sum()
        low, high = clopper_pearson(counts, np.full(len(counts), counts.sum()))
        axes.bar(places + offset, shares, 0.38, color=colour, label=f"{name}: {counts.sum():,}")
        axes.errorbar(places + offset, shares, [shares - low, high - shares], fmt="none",
                      ecolor="black", elinewidth=1, capsize=3)  # fmt: skip
    axes.set_xticks(places, list(classes))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel("share of the cells")
    axes.tick_params(axis="x", length=0)
    axes.spines[["right", "top"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    headline(figure, "Classes decided on", "lines: exact 95 % intervals")
    return figure


@plain()
def distributions(found: Cells, usual: Cells, findings: Sequence[Finding]) -> Figure:
    """Every ranked measure of `findings`; the reference weighted to the folder's mix."""
    weights = stratified.like_mix(found.classes, usual.classes)
    rows = -(-len(findings) // COLUMNS)
    figure = Figure(figsize=(9.6, 1.1 + 2.0 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, finding in zip(grid, findings, strict=False):
        pair = values_of(found, finding.measure), values_of(usual, finding.measure)
        _histograms(axes, *pair, weights)
        colour = VERMILION if finding.drifted else "black"
        mark = " – drifted" if finding.drifted else ""
        axes.set_title(f"{finding.measure.title}{mark}", fontsize=8.5, color=colour, loc="left")
    for axes in grid[len(findings) :]:
        axes.set_visible(False)
    handles = [grid[0].containers[0][0], grid[0].patches[-1]]
    figure.legend(handles, [THERE, HERE], loc="outside lower center", ncols=2, frameon=False)
    headline(
        figure,
        "The folder's cells beside the reference's",
        "the reference is weighted to the folder's mix of classes",
    )
    return figure


def _histograms(
    axes: Axes,
    found: NDArray[np.float64],
    usual: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> None:
    both = np.concatenate([found, usual])
    low, high = np.quantile(both, [0.005, 0.995])
    high = high if high > low else low + 1
    bins = np.linspace(low, high, NUM_BINS + 1).tolist()
    usual, found = usual.clip(low, high), found.clip(low, high)
    axes.hist(usual, bins, weights=weights, color="#BBBBBB")
    share = np.full(len(found), 1 / len(found))
    axes.hist(found, bins, weights=share, histtype="step", color=BLUE, linewidth=1.6)
    axes.set_yticks([])
    axes.tick_params(labelsize=8)
    axes.spines[["left", "right", "top"]].set_visible(False)
