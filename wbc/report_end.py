"""The report's last sections: training, limits, checklists; and the notes of the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wbc import checklists
from wbc.cells import CLASSES
from wbc.figures import set_title
from wbc.page import Block, Cell, Items, Table, Text, picture
from wbc.report_trust import count_sentence, shortcut_sentences

if TYPE_CHECKING:
    from wbc.report import Material

FEW = 50  # cells of a type; 1 of 50 is 2 points of recall


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
        if (rare := [f"{k} ({found['support'][k]})" for k in CLASSES if _is_few(found, k)])
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


def facts(material: Material) -> dict[str, bool]:
    """What the items of the checklists need, by the names in `checklists.UNDONE`."""
    scores = material.metrics.values()
    return {
        "division": bool(material.division),
        "intervals": all(isinstance(found["accuracy"], Mapping) for found in scores),
        "external": bool(material.external()),
        "sensitivity": bool(shortcut_sentences(material) or _seed_sentences(material)),
        "calibrated": "temperature" in material.card,
    }


def checklist_tables(sections: Mapping[str, str], known: Mapping[str, bool]) -> list[Block]:
    """Where the items of CLAIM and TRIPOD+AI are answered; `sections`: {name: title} shown,
    `known`: see `facts`."""
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
                Cell(
                    ", ".join(
                        sections[n] for n in checklists.answered_in_report(item, sections, known)
                    )
                ),
                Cell(checklists.missing_in_report(item, known)),
            ]
            for item in checklists.ITEMS
            if item.checklist == checklist
        ]
        head = ("item", "topic", "answered here in", "to be written by hand")
        blocks.append(Table(head, rows, words=(1, 2, 3), folded=f"{checklist}: {len(rows)} items"))
    return blocks


def notes(material: Material) -> dict[str, list[str]]:
    """What the tables say in words, for the model card."""
    found = {
        "shortcuts": shortcut_sentences(material),
        "counts": count_sentence(material),
        "seeds": _seed_sentences(material),
    }
    shifted = material.tables.get("shift")
    if shifted is not None:
        found["shift"] = [text for text in shifted["in_words"] if isinstance(text, str) and text]
    return found


def _seed_sentences(material: Material) -> list[str]:
    """The spread of macro-F1 over training seeds, where there are several."""
    return [
        f"{set_title(name)}: macro-F1 {f1['mean']:.3f} ± {f1['sd']:.3f} over"
        f" {len(f1['values'])} training seeds."
        for name, scores in material.seeds.items()
        if len((f1 := scores["macro_f1"])["values"]) > 1
    ]


def _is_few(scores: Mapping[str, Any], label: str) -> bool:
    return bool(0 < scores["support"].get(label, 0) < FEW)
