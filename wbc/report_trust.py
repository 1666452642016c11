"""The report's sections on counts, mistakes, Grad-CAM and shortcuts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from wbc.cells import CLASSES
from wbc.counts import caution
from wbc.explain import KINDS
from wbc.figures import set_phrase, set_title
from wbc.page import Block, Cell, Table, Text, picture
from wbc.wording import MINUS, percent, signed

if TYPE_CHECKING:
    from wbc.report import Material


def counts(material: Material) -> list[Block]:
    """The differential of every set: counted, corrected, and against the truth."""
    found = material.tables.get("counts")
    if found is None:
        return []
    rows = [_count(row) for row in found.to_dict("records")]
    head = ("set", "cell type", "true", "counted", "adjusted", "bias, points")
    cautions = [
        Text(f"{set_title(str(name))}: {words}.", "warning")
        for name, part in found.groupby("set", sort=False)
        if (words := caution(int(part["n"].iloc[0])))
    ]
    how = "without logit adjustment, which would count rare types too often"
    if material.card["parameters"].get("train.imbalance") == "loss_weights":
        how = "under the training mix, which the weights of the loss had evened out, put back"
    blocks: list[Block] = [
        Text(
            f"A laboratory counts cells. Counted: each cell as what it most probably is ({how}),"
            " with Rümke's interval (the luck of the draw alone). Adjusted: corrected by the errors"
            " that the model made on the validation set, with an interval over both. Bias: counted"
            " minus true, in percentage points. The correction presumes that types are mixed up as"
            " in validation, which need not hold in another laboratory."
        ),
        *cautions,
        Table(head, rows, words=(1,)),
    ]
    return blocks + _pictures(material, "counts", "Differential: true, counted, adjusted")


def mistakes(material: Material) -> list[Block]:
    return _pictures(material, "mistakes", "Cells that were named wrongly, the surest first")


def why(material: Material) -> list[Block]:
    """Grad-CAM."""
    pictures = [
        block
        for kind in KINDS
        for block in picture(
            material.figures / f"gradcam_{kind}.png", f"Grad-CAM of cells, {kind} decisions"
        )
    ]
    if not pictures:
        return []
    text = (
        "Grad-CAM shades what raised the score of the decision. It shows where the network looked,"
        " on the coarse grid of its last layer, and not whether it was right to look there."
    )
    return [Text(text), *pictures]


def shortcuts(material: Material) -> list[Block]:
    """Whether the background alone gives the cell type away."""
    found = material.tables.get("shortcuts")
    if found is None:
        return []
    blocks: list[Block] = [
        Text(text, "warning" if text.startswith("Warning") else "text")
        for text in shortcut_sentences(material)
    ]
    rows = [
        [
            Cell(row["class"]),
            Cell(f"{row['num_cells']:,}"),
            *(_share(row, view) for view in ("plain", "cell_blanked", "background_blanked")),
            _informedness(row),
            Cell(
                {"decides": "yes, it decides", "hints": "no, but hints"}.get(
                    row["background"], str(row["background"])
                )
            ),
        ]
        for row in found.to_dict("records")
    ]
    head = (
        "cell type", "cells", "recall, whole picture", "cell blanked out", "background blanked out",
        "informedness of the background", "does the background decide?",
    )  # fmt: skip
    blocks.append(
        Text(
            "Informedness is the share of a type's blank pictures that are still called so, less"
            " the share of the other types' blank pictures that are: 0 for any constant answer,"
            " however many cells that finds, and 1 for a sure one."
        )
    )
    blocks.append(Table(head, rows, words=(6,)))
    return blocks + _pictures(material, "shortcuts", "Cells with either blanked out")


def shortcut_warnings(material: Material) -> list[str]:
    """What the check says of classes that the background alone decides about."""
    return [text for text in shortcut_sentences(material) if text.startswith("Warning")]


def shortcut_sentences(material: Material) -> list[str]:
    """What the check says, in words."""
    found = material.tables.get("shortcuts")
    if found is None or "in_words" not in found:
        return []
    return [text for text in dict.fromkeys(found["in_words"]) if isinstance(text, str) and text]


def calibration_sentence(material: Material) -> list[str]:
    """Whether probabilities may be believed on the own test set."""
    name = next(iter(material.internal()), "val")
    error = 100 * material.metrics[name]["ece"]["value"]
    own = (
        f"Its probabilities are off by {error:.1f} points on average ({set_phrase(name)}); the"
        " section on calibration says where."
    )
    return [own, *(_calibration_abroad(material, name) for name in material.external())]


def _calibration_abroad(material: Material, name: str) -> str:
    """What the temperature, which was fitted at home, did to another laboratory's calibration."""
    found = material.metrics[name]
    before, after = (100 * found[score]["value"] for score in ("ece_uncalibrated", "ece"))
    change = "made no difference there"
    if abs(after - before) >= 0.1:
        verb = "better" if after < before else "worse"
        change = f"made it {verb} there, {before:.1f} points without it"
    return (
        f"On cells of {set_phrase(name)} they are off by {after:.1f} points; the temperature, which"
        f" was fitted on validation, {change}."
    )


def count_sentence(material: Material) -> list[str]:
    """How far a differential would be off where that is worst."""
    found = material.tables.get("counts")
    if found is None:
        return []
    told = found[found["set"] != "val"] if (found["set"] != "val").any() else found
    worst = told.loc[told["bias_points"].abs().idxmax()]
    return [
        f"Counting with it, the differential is off most for {worst['class']}s of"
        f" {set_phrase(worst['set'])}: {signed(worst['bias_points'], 1)} points"
        f" ({signed(worst['bias_low'], 1)} to {signed(worst['bias_high'], 1)})."
    ]


def _pictures(material: Material, kind: str, alt: str) -> list[Block]:
    """The figure of this kind for all sets, then those of single sets."""
    blocks: list[Block] = [*picture(material.figures / f"{kind}.png", alt)]
    for name in material.in_order():
        blocks += picture(material.figures / f"{kind}_{name}.png", f"{alt}, {set_title(name)}")
    return blocks


def _share(row: dict[Any, Any], view: str) -> Cell:
    low, high = row[f"{view}_low"], row[f"{view}_high"]
    return Cell(f"{percent(row[view])}", f"{100 * low:.0f}–{100 * high:.0f}")


def _count(row: dict[Any, Any]) -> list[Cell]:
    true = f"{100 * row['true_count'] / row['n']:.1f} %"
    return [
        Cell(set_title(row["set"]) if row["class"] == CLASSES[0] else ""),
        Cell(row["class"]),
        Cell(f"{row['true_count']:,} of {row['n']:,}", true),
        Cell(f"{row['percent']:.1f} %", f"{row['low']:.1f}–{row['high']:.1f}"),
        _adjusted(row),
        Cell(
            signed(row["bias_points"], 1),
            f"{signed(row['bias_low'], 1)} to {signed(row['bias_high'], 1)}",
        ),
    ]


def _adjusted(row: dict[Any, Any]) -> Cell:
    if pd.isna(row["adjusted"]):  # validation cannot correct itself
        return Cell("–")
    low, high = row["adjusted_low"], row["adjusted_high"]
    return Cell(f"{row['adjusted']:.1f} %", f"{low:.1f}–{high:.1f}")


def _informedness(row: dict[Any, Any]) -> Cell:
    if pd.isna(row["informedness"]):
        return Cell("–")
    low, high = row["informedness_low"], row["informedness_high"]
    value, low, high = (f"{x:.2f}".replace("-", MINUS) for x in (row["informedness"], low, high))
    return Cell(value, f"{low} to {high}")
