"""Figures for a reader who knows cells, as PNG whose bytes depend on the numbers only.

Every function returns a matplotlib Figure made without pyplot (no global state, no display);
`save` writes it. Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/) and the
single-hue map Blues, which keep apart for colour-blind readers and in grey print.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from wbc.cells import CLASSES
from wbc.metrics import Scores, value

DPI = 120
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
SET_COLOURS = (BLUE, "#E69F00", GREEN, "#CC79A7", "#56B4E9", VERMILION, "#F0E442", "#000000")
SET_TITLES = {"val": "Validation set", "test": "Test set", "test_a": "Test-A", "test_b": "Test-B"}
PHASE_TITLES = {
    "head": "new head only",
    "upper": "upper layers",
    "most": "most layers",
    "all": "all layers",
}


@contextmanager
def plain() -> Iterator[None]:
    """Matplotlib's own defaults (DejaVu Sans and so on), whatever a user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def save(figure: Figure, path: Path) -> None:
    """Write `png` of the figure; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure))


@plain()
def png(figure: Figure) -> bytes:
    """A PNG without date and software name; the same figure gives the same bytes."""
    figure.set_dpi(DPI)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")  # else savefig draws all twice to lay it out
    # The quickest compression: a seventh less time to save, a tenth more bytes.
    quick = {"compress_level": 1}
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs=quick)
    return content.getvalue()


def set_title(evaluation_set: str) -> str:
    """How a figure names an evaluation set; another laboratory goes by its source's name."""
    return SET_TITLES.get(evaluation_set, f"Other laboratory {evaluation_set}")


def set_phrase(evaluation_set: str) -> str:
    """The same within a sentence: the test set, the other laboratory NAME, Test-A."""
    title = set_title(evaluation_set)
    if title.startswith("Test-"):
        return title
    return f"the {title[0].lower()}{title[1:]}"


@plain()
def confusion_matrix(
    counts: NDArray[np.integer[Any]],
    evaluation_set: str,
    model: str,
    classes: Sequence[str] = CLASSES,
) -> Figure:
    """Counts (K, K; row = true class) with the share of each row; rows only for classes present."""
    present = np.flatnonzero(counts.sum(axis=1))
    totals = counts.sum(axis=1, keepdims=True)[present]
    shares = counts[present] / totals
    figure = Figure(figsize=(8.4, 2.5 + 0.85 * len(present)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, true in enumerate(present):
        for column in range(len(classes)):
            _write_cell(axes, row, column, int(counts[true, column]), shares[row, column])
        axes.add_patch(_outline(int(true), row))
    axes.set_yticks(
        range(len(present)),
        [f"{classes[int(k)]}\n{number_of_cells(counts[k].sum())}" for k in present],
    )
    absent = set(range(len(classes))) - set(present.tolist())
    axes.set_xticks(
        range(len(classes)),
        [name + "\n(none here)" * (k in absent) for k, name in enumerate(classes)],
    )
    axes.set(ylabel="true cell type", xlabel=f"decision of {model}")
    axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(1), pad=0.02)
    bar.set_label("share of the row")
    headline(
        figure,
        f"{set_title(evaluation_set)}: true cell type and decision",
        f"{number_of_cells(counts.sum())}: number and share of each row; outlined: correct",
    )
    return figure


@plain()
def training_history(history: pd.DataFrame, best_epoch: int, model: str) -> Figure:
    """Losses above, validation scores below, over epochs; phases and the kept epoch marked.

    `history` has the columns of history.csv: epoch, phase, train/loss, val/loss, val/macro_f1,
    val/balanced_accuracy.
    """
    figure = Figure(figsize=(8.4, 6.4), layout="constrained")
    losses, quality = figure.subplots(2, 1, sharex=True)
    for axes, column, title, colour, marker in (
        (losses, "train/loss", "training", BLUE, "o"),
        (losses, "val/loss", "validation", VERMILION, "s"),
        (quality, "val/macro_f1", "macro-F1 (chooses the epoch)", VERMILION, "s"),
        (quality, "val/balanced_accuracy", "balanced accuracy", GREEN, "^"),
    ):
        axes.plot(
            history["epoch"], history[column], marker, ls="-", color=colour, ms=3, label=title
        )
    best = history.loc[history["epoch"] == best_epoch, "val/macro_f1"].iloc[0]
    for axes in (losses, quality):
        axes.axvline(best_epoch, color="black", linestyle=":", linewidth=1.2)
        _mark_phases(axes, history, named=axes is losses)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(loc="best", frameon=True)
    quality.plot(best_epoch, best, "*", color="black", ms=13, zorder=4)
    highest = float(history[["train/loss", "val/loss"]].max(axis=None))
    losses.set(ylabel="loss", ylim=(0, highest * 1.08))
    losses.set_xlim(history["epoch"].min() - 0.5, history["epoch"].max() + 0.5)
    quality.set(ylabel="validation score", xlabel="epoch", ylim=(0, 1.03))
    quality.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    headline(
        figure,
        f"Training of {model}",
        f"kept: epoch {best_epoch} (dotted), macro-F1 {best:.3f} on the validation set",
    )
    return figure


@plain()
def recall_bars(
    metrics: Mapping[str, Scores], model: str, classes: Sequence[str] = CLASSES
) -> Figure:
    """Recall of each cell type, all evaluation sets side by side; `metrics` as in metrics.json.

    Whiskers are the 95 % intervals; the text behind each bar gives both in numbers.
    """
    height = 0.8 / len(metrics)
    titles = {
        name: f"{set_title(name)}, {number_of_cells(scores['num_cells'])}"
        for name, scores in metrics.items()
    }
    size = (8.4, 2.2 + len(classes) * max(0.5, 0.26 * len(metrics)))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    for position, (name, scores) in enumerate(metrics.items()):
        places = np.arange(len(classes)) - 0.4 + (position + 0.5) * height
        recall = [value(scores["recall"].get(label, 0.0)) for label in classes]
        hatch = "///" if position >= len(SET_COLOURS) else None
        colour = SET_COLOURS[position % len(SET_COLOURS)]
        axes.barh(places, recall, height * 0.9, color=colour, hatch=hatch, label=titles[name])
        for label, place in zip(classes, places, strict=True):
            _write_recall(axes, scores, label, float(place))
    axes.set_yticks(range(len(classes)), classes)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    words = "recall: share of the true cells of a type that are found, with 95 % interval"
    axes.set(xlim=(0, 1.42), xlabel=words)
    axes.set_xticks(np.arange(0, 1.01, 0.2))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    num_columns = 2 if max(map(len, titles.values())) <= 48 else 1
    figure.legend(loc="outside lower center", ncols=num_columns, frameon=False, fontsize=9)
    headline(figure, f"Recall of {model} by cell type and evaluation set", "")
    return figure


def headline(figure: Figure, title: str, below: str) -> Text:
    width = int(figure.get_figwidth() * 10.5)  # characters at 12 points
    lines = (fill(text, width) for text in (title, below) if text)
    return figure.suptitle("\n".join(lines), fontsize=12, parse_math=False)


def number_of_cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count:,} cells"


def _write_cell(axes: Axes, row: int, column: int, count: int, share: float) -> None:
    colour = "white" if share > 0.55 else "black" if count else GREY
    text = f"{count:,}\n{share:.1%}" if count else "0"
    axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10)


def _write_recall(axes: Axes, scores: Scores, label: str, place: float) -> None:
    """Whiskers on a bar of recall_bars, and its numbers behind it."""
    if label not in scores["recall"]:
        axes.text(0.01, place, "none in this set", va="center", fontsize=8)
        return
    recall, num_cells = scores["recall"][label], scores["support"][label]
    low, high = recall["low"], recall["high"]
    axes.plot([low, high], [place, place], "-|", color="black", lw=1, ms=4)
    text = f"{value(recall):.1%} ({low:.0%} to {high:.0%}) of {num_cells:,}"
    axes.text(high + 0.015, place, text, va="center", fontsize=8)


def _outline(column: int, row: int) -> Rectangle:
    return Rectangle(
        (column - 0.49, row - 0.49), 0.98, 0.98, fill=False, edgecolor="black", linewidth=1.2
    )


def _mark_phases(axes: Axes, history: pd.DataFrame, named: bool) -> None:
    """A line where a phase begins after another, and the phases' names above the top axes."""
    first = history.groupby("phase", sort=False)["epoch"].agg(["min", "max"])
    for number, (phase, (start, end)) in enumerate(first.iterrows()):
        if number:
            axes.axvline(start - 0.5, color=GREY, linestyle="--", linewidth=1)
        if named:
            name = PHASE_TITLES.get(str(phase), str(phase))
            place = (float(start + end) / 2, 1.02)
            axes.text(*place, name, transform=axes.get_xaxis_transform(), ha="center", color=GREY)
