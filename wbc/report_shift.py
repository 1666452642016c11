"""The report's section on other laboratories: what was shown of them, how far away they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from wbc.binomial import clopper_pearson
from wbc.curves import KEPT_SHARE
from wbc.figures import set_phrase, set_title
from wbc.page import Block, Cell, Table, Text, picture
from wbc.wording import MINUS, percent, signed

if TYPE_CHECKING:
    from wbc.report import Material

# What train.augment changes as other laboratories would: stains, lamps and cameras.
_COLOURS = (
    "brightness", "contrast", "saturation", "hue", "stain", "stain_hue", "uptake", "white_point",
    "gamma", "gradient",
)  # fmt: skip
_MICROSCOPES = ("resolution", "blur", "fringe", "sharpen", "noise", "jpeg")


def shift(material: Material) -> list[Block]:
    """How far each set lies from training and what is lost there."""
    found = material.tables.get("shift")
    if found is None:
        return []
    told = banners(material)
    blocks: list[Block] = [
        Text(text) for text in found["in_words"] if isinstance(text, str) and text not in told
    ]
    rows_of = {row["set"]: row for row in found.to_dict("records")}
    for name in material.external():
        blocks.append(Text(shown(material, name)))
        if (text := refusing(rows_of.get(name, {}))) is not None:
            blocks.append(Text(text))
    blocks.append(
        Text(
            "A cell is far where its distance from the training cells, in the features of the"
            " model, is beyond that of 99\u00a0% of the validation cells. The areas say how well"
            " that distance tells the set's cells from validation's, and its mistakes from its"
            " right decisions: 0.5 not at all, 1 perfectly. Confidence less accuracy is positive"
            " where the probabilities promise too much."
        )
    )
    head = (
        "set", "verdict", "far cells", "AUROC: set or validation", "AUROC: mistake or right",
        "fall in balanced accuracy", "confidence less accuracy",
    )  # fmt: skip
    rows = [
        [
            Cell(set_title(row["set"])),
            Cell(str(row["verdict"])),
            Cell(f"{percent(row['share_far'])}"),
            _number(row["auroc"]),
            _number(row["auroc_errors"]),
            _fall(row),
            Cell(f"{signed(100 * row['overconfidence'], 1)} points"),
        ]
        for row in found.to_dict("records")
    ]
    blocks.append(Table(head, rows, words=(1,)))
    blocks += picture(material.figures / "shift.png", "Distance of every cell from training")
    return blocks + picture(
        material.figures / "shift_pictures.png", "How pictures differ from the training cells'"
    )


def banners(material: Material) -> list[str]:
    """One sentence for each external set that lies outside."""
    found = material.tables.get("shift")
    if found is None:
        return []
    outside = found[found["external"] & (found["verdict"] != "in domain")]
    return [text for text in outside.get("in_words", []) if isinstance(text, str) and text]


def shown(material: Material, name: str) -> str:
    """What the model was and was not shown of an external set."""
    card = material.card
    own = [source["name"] for source in card["sources"] if source["role"] != "external"]
    cells = f"{card['num_train']:,} cells of {', '.join(own)}" if "num_train" in card else own[0]
    given = card["parameters"]
    others = _MICROSCOPES if given.get("train.augment.microscope_share") else ()
    simulated = [each for each in (*_COLOURS, *others) if given.get(f"train.augment.{each}")]
    how = f"Cells were shown with changes of {_listed(simulated)}. " if simulated else ""
    return (
        f"Of {set_phrase(name)} the model was shown nothing: it learned from {cells}, and neither"
        f" its weights, nor the epoch that was kept, nor its temperature come from a cell of"
        f" {name}. {how}Whether people chose settings by looking at {name} is not recorded here."
    )


def refusing(row: Mapping[str, Any]) -> str | None:
    """Whether refusing the least certain cells helps in a set; None where that was not measured."""
    if pd.isna(row.get("kept_errors")):
        return None
    shares = []
    for part in ("refused", "kept"):
        wrong, count = int(row[f"{part}_errors"]), int(row[f"{part}_cells"])
        low, high = clopper_pearson(wrong, count)
        shares.append((wrong / count, low, high))
    (refused, *outer), (kept, *inner) = shares
    verdict = "is not shown to help there"
    if outer[0] > inner[1]:
        verdict = "helps there"
    elif outer[1] < inner[0]:
        verdict = "harms there"
    return (
        f"Refusing the least certain {percent(1 - KEPT_SHARE, 0)} of {row['set']} {verdict}:"
        f" {percent(refused)} of the refused decisions are wrong ({_range(*outer)}), and"
        f" {percent(kept)} of those kept ({_range(*inner)}); balanced accuracy goes from"
        f" {row['after_all']:.3f} to {row['after_kept']:.3f}."
    )


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {percent(high)}"


def _listed(names: list[str]) -> str:
    words = [name.replace("_", " ") for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _fall(row: dict[Any, Any]) -> Cell:
    if pd.isna(row.get("fall")):
        return Cell("–")
    low, high = row["fall_low"], row["fall_high"]
    fall, low, high = (f"{100 * x:.1f}".replace("-", MINUS) for x in (row["fall"], low, high))
    return Cell(f"{fall} points", f"{low} to {high}")


def _number(value: float | None) -> Cell:
    return Cell("–" if value is None or pd.isna(value) else f"{value:.2f}")
