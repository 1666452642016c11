"""The table of doubts as one HTML file that opens anywhere: every doubt beside its picture."""

import base64
import io
from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from wbc.label_quality import CONFLICT, DUPLICATE, ERROR, FEW, KINDS, NUM_FOLDS, OUTLIER, Issues
from wbc.page import NOT_A_DEVICE, Block, Cell, Page, Section, Table, Text, render
from wbc.wording import NBSP, percent

SHOWN: Final = 50  # rows of each kind
_TILE: Final = 96  # pixels
_ABOUT: Final = {
    CONFLICT: "one picture with two labels: at least one of them is wrong",
    ERROR: "cells like this one bear another label (confident learning)",
    DUPLICATE: "one picture twice: it counts double, and in two splits it would leak",
    OUTLIER: "far from all others of its type and source: another object, bad focus, or rare",
}
Picture = Callable[[str], NDArray[np.uint8]]  # of a cell's path; pixels (h, w, 3)


def page(issues: Issues, picture: Picture) -> str:
    """The HTML of all kinds' first 50 rows; `picture` gives the pixels of a cell or raises OSError.

    File names and labels are escaped, pictures are JPEG within the page.
    """
    shown = issues.table.groupby("kind", sort=False).head(SHOWN)
    sections = [Section("summary", "Summary", [Text(_words(issues)), _sums(issues, shown)])]
    for kind in KINDS:
        rows = shown[shown["kind"] == kind]
        blocks = _table(kind, rows, issues.counts()[kind], picture) if len(rows) else []
        sections.append(Section(kind.replace(" ", "-"), f"{kind.capitalize()}s", blocks))
    return render(
        Page(
            "Data quality: which cells to look at again",
            f"{issues.num_cells:,} cells with pixels were judged on their own colours and textures,"
            " test sets and other laboratories as well. Nothing was changed; this is a reading"
            " list. Correct a wrong label where the data come from, then run dvc repro.",
            sections,
            [NOT_A_DEVICE],
        )
    )


def _sums(issues: Issues, shown: pd.DataFrame) -> Block:
    if not len(shown):
        return Text("No doubts were found.")
    found, listed = issues.counts(), shown["kind"].value_counts()
    rows = [
        [Cell(kind), Cell(f"{found[kind]:,}"), Cell(str(listed.get(kind, 0))), Cell(_ABOUT[kind])]
        for kind in KINDS
    ]
    return Table(["kind", "found", "shown", "what it means"], rows, words=(3,))


def _table(kind: str, rows: pd.DataFrame, num_found: int, picture: Picture) -> list[Block]:
    head = ("rank", "picture", "label", "doubt", "where")
    blocks: list[Block] = [
        Table(head, [_row(row, picture) for _, row in rows.iterrows()], _ABOUT[kind], (1, 2, 3, 4))
    ]
    if num_found > len(rows):
        blocks.append(Text(f"{num_found - len(rows):,} more are in issues.csv."))
    return blocks


def _words(issues: Issues) -> str:
    """How the label errors were found, and how far to trust that."""
    if not issues.num_judged:
        return "There are too few cells to look for label errors."
    text = (
        f"Label errors: {issues.num_judged:,} cells were judged in {NUM_FOLDS} parts, each by a"
        " plain classifier that had not learned from it (whole smears at a time where they are"
        f" known). It agrees with {percent(issues.accuracy)} of the labels."
    )
    if issues.accuracy < 0.9:
        text += " That is little: many of these doubts are its own mistakes."
    if issues.rare:
        rare = ", ".join(f"{source}: {n} {kind}s" for (source, kind), n in issues.rare.items())
        text += (
            f" For some cells ({rare}) it had fewer than {FEW} of the same type and source to learn"
            " from; these may be doubted wrongly and come last."
        )
    left = issues.num_cells - issues.num_judged
    if left:
        text += f" {left:,} cells were not judged, since no other part has cells of their type."
    return text


def _row(row: "pd.Series[object]", picture: Picture) -> list[Cell]:
    names = [str(row[name]) for name in ("path", "partner") if row[name]]
    labels = dict.fromkeys(str(row[name]) for name in ("label", "partner_label") if row[name])
    smear = f", smear {row['group']}" if row["group"] else ""
    return [
        Cell(str(row["rank"])),
        Cell("", pictures=[_thumbnail(name, picture) for name in names]),
        Cell(" or ".join(labels), f"rather: {row['suggested']}" if row["suggested"] else ""),
        Cell(_score(str(row["kind"]), float(row["score"]))),
        Cell(" and ".join(names), f"set {row['split']}{smear}"),
    ]


def _score(kind: str, score: float) -> str:
    if kind == ERROR:
        share = 1 - score
        digits = f"{100 * share:.2g}" if share >= 1e-6 else "under 0.0001"
        return f"label: {digits}{NBSP}% probable"
    if kind == OUTLIER:
        return f"{score:.2f} times as far as usual"
    return "identical hash" if score == 1 else f"{percent(score, 0)} of the hash equal"


def _thumbnail(path: str, picture: Picture) -> str:
    """Base64 of a JPEG; "" where there is no picture."""
    try:
        pixels = picture(path)
    except OSError:
        return ""
    buffer = io.BytesIO()
    small = Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.LANCZOS)
    small.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
