"""The report's sections on counts, other laboratories, mistakes, shortcuts, training and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from wbc import checklists
from wbc.cells import CLASSES
from wbc.figures import set_title
from wbc.page import Block, Cell, Items, Table, Text, picture

if TYPE_CHECKING:
    from wbc.report import Material

FEW = 50  # cells of a type; 1 of 50 is 2 points of recall


def counts(material: Material) -> list[Block]:
    """The differential of every set: counted, corrected, and against the truth."""
    found = material.tables.get("counts")
    if found is None:
        return []
    rows = [_count(row) for row in found.to_dict("records")]
    head = ("set", "cell type", "true", "counted", "adjusted", "bias, points")
    blocks: list[Block] = [
        Text(
            "A laboratory counts cells. Counted: each cell as what it most probably is"
            " (without logit adjustment, which would count rare types too often), with"
            " Rümke's interval (the luck of the draw alone). Adjusted: corrected by the errors that"
            " the model made on the validation set, with an interval over both. Bias: counted minus"
            " true, in percentage points. The correction presumes that types are mixed up as in"
            " validation, which need not hold in another laboratory."
        ),
        Table(head, rows, words=(1,)),
    ]
    return blocks + _pictures(material, "counts", "Differential: true, counted, adjusted")


def shift(material: Material) -> list[Block]:
    """How far each set lies from training and what is lost there."""
    found = material.tables.get("shift")
    if found is None:
        return []
    blocks: list[Block] = []
    for row in found.to_dict("records"):
        if isinstance(row.get("in_words"), str) and row["in_words"]:
            blocks.append(Text(row["in_words"]))
    head = (
        "set", "verdict", "cells far from training", "distance: AUROC against validation",
        "distance: AUROC for mistakes", "fall in balanced accuracy", "over-confidence",
    )  # fmt: skip
    rows = [
        [
            Cell(set_title(row["set"])),
            Cell(str(row["verdict"])),
            Cell(f"{row['share_far']:.1%}"),
            _number(row["auroc"]),
            _number(row["auroc_errors"]),
            _fall(row),
            Cell(f"{100 * row['overconfidence']:+.1f}"),
        ]
        for row in found.to_dict("records")
    ]
    blocks.append(Table(head, rows, words=(1,)))
    blocks += picture(material.figures / "shift.png", "Distance of every cell from training")
    return blocks + picture(
        material.figures / "shift_pictures.png", "How pictures differ from the training cells'"
    )


def shift_banners(material: Material) -> list[str]:
    """One sentence for each external set that lies outside."""
    found = material.tables.get("shift")
    if found is None:
        return []
    outside = found[found["external"] & (found["verdict"] != "in domain")]
    return [text for text in outside.get("in_words", []) if isinstance(text, str) and text]


def mistakes(material: Material) -> list[Block]:
    return _pictures(material, "mistakes", "Cells that were named wrongly, the surest first")


def why(material: Material) -> list[Block]:
    """Grad-CAM."""
    pictures = [
        block
        for path in sorted(material.figures.glob("gradcam_*.png"))
        for block in picture(path, f"Grad-CAM of cells, {path.stem.partition('_')[2]}")
    ]
    if not pictures:
        return []
    text = (
        "Grad-CAM shades what raised the score of the decision. It shows where the network looked,"
        " coarsely (7 by 7 fields), and not whether it was right to look there."
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
            Cell(str(row["background"])),
        ]
        for row in found.to_dict("records")
    ]
    head = (
        "cell type", "cells", "recall, whole picture", "cell blanked out", "background blanked out",
        "informedness of the background", "background decides",
    )  # fmt: skip
    blocks.append(Table(head, rows, words=(6,)))
    return blocks + _pictures(material, "shortcuts", "Cells with either blanked out")


def shortcut_sentences(material: Material) -> list[str]:
    """What the check says, in words."""
    found = material.tables.get("shortcuts")
    if found is None or "in_words" not in found:
        return []
    return [text for text in dict.fromkeys(found["in_words"]) if isinstance(text, str) and text]


def training(material: Material) -> list[Block]:
    return list(picture(material.figures / "history.png", "Losses and scores of every epoch"))


def limits(material: Material) -> list[Block]:
    """What the numbers cannot say."""
    items = [
        "The model names one of five types whatever it is shown: blasts, immature granulocytes,"
        " smudge cells, platelets and dirt get one of the five as well.",
        "Scores hold for cells that were taken, stained and photographed as those of the set they"
        " were measured on.",
        "Labels are taken as they come; where experts disagree, part of the errors is theirs.",
    ]
    few = [
        f"{set_title(name)} has fewer than {FEW} cells of {', '.join(rare)}: one cell more or less"
        " moves their recall by points."
        for name, found in material.metrics.items()
        if (rare := [label for label, count in found["support"].items() if count < FEW])
    ]
    missing = [
        f"{set_title(name)} lacks {', '.join(gone)}: nothing is known of them there."
        for name, found in material.metrics.items()
        if (gone := [label for label in CLASSES if label not in found["support"]])
    ]
    if not material.external():
        items.append(
            "No other laboratory was tested: expect a fall there, and measure it with a source of"
            " role external."
        )
    return [Items([*items, *few, *missing])]


def checklist_tables(sections: Mapping[str, str]) -> list[Block]:
    """Where the items of CLAIM and TRIPOD+AI are answered; `sections`: {name: title} shown."""
    blocks: list[Block] = [
        Text(
            "What two reporting guidelines ask for, where this page answers it, and what only the"
            " authors of a study can say. Topics are abridged; see the guidelines for their words."
        )
    ]
    for checklist in (checklists.CLAIM, checklists.TRIPOD):
        rows = [
            [
                Cell(item.number),
                Cell(item.topic),
                Cell(", ".join(sections[n] for n in checklists.answered_in_report(item, sections))),
                Cell(item.by_hand),
            ]
            for item in checklists.ITEMS
            if item.checklist == checklist
        ]
        head = ("item", "topic", "answered here in", "to be written by hand")
        blocks.append(Table(head, rows, checklist, words=(1, 2, 3)))
    return blocks


def notes(material: Material) -> dict[str, list[str]]:
    """What the tables say in words, for the model card."""
    found = {"shortcuts": shortcut_sentences(material)}
    shifted = material.tables.get("shift")
    if shifted is not None:
        found["shift"] = [text for text in shifted["in_words"] if isinstance(text, str) and text]
    return found


def _pictures(material: Material, kind: str, alt: str) -> list[Block]:
    """The figure of this kind for all sets, then those of single sets."""
    blocks: list[Block] = [*picture(material.figures / f"{kind}.png", alt)]
    for name in material.metrics:
        blocks += picture(material.figures / f"{kind}_{name}.png", f"{alt}, {set_title(name)}")
    return blocks


def _share(row: dict[Any, Any], view: str) -> Cell:
    low, high = row[f"{view}_low"], row[f"{view}_high"]
    return Cell(f"{row[view]:.1%}", f"{100 * low:.0f}–{100 * high:.0f}")


def _count(row: dict[Any, Any]) -> list[Cell]:
    true = f"{100 * row['true_count'] / row['n']:.1f} %"
    return [
        Cell(set_title(row["set"]) if row["class"] == CLASSES[0] else ""),
        Cell(row["class"]),
        Cell(f"{row['true_count']:,} of {row['n']:,}", true),
        Cell(f"{row['percent']:.1f} %", f"{row['low']:.1f}–{row['high']:.1f}"),
        _adjusted(row),
        Cell(f"{row['bias_points']:+.1f}", f"{row['bias_low']:+.1f} to {row['bias_high']:+.1f}"),
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
    return Cell(f"{row['informedness']:.2f}", f"{low:.2f} to {high:.2f}")


def _fall(row: dict[Any, Any]) -> Cell:
    if pd.isna(row.get("fall")):
        return Cell("–")
    low, high = row["fall_low"], row["fall_high"]
    return Cell(f"{100 * row['fall']:.1f} points", f"{100 * low:.1f} to {100 * high:.1f}")


def _number(value: float | None) -> Cell:
    return Cell("–" if value is None or pd.isna(value) else f"{value:.2f}")
