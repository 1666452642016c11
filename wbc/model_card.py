"""A model card in Markdown, after Mitchell et al. 2019 (Model Cards for Model Reporting).

Everything in it comes from model.json, metrics.json and, where they are given, the division of the
cells and sentences of other parts of the report. The same input gives the same bytes. A section
about which nothing is known is left out, and what only a person can know is asked for at the end.
"""

from collections.abc import Mapping
from typing import Final

from wbc import checklists
from wbc.cells import CLASSES
from wbc.comparison import STARTS
from wbc.figures import set_title
from wbc.model_card_data import (
    DECISIONS,
    Json,
    Notes,
    analyses,
    bullets,
    crop_words,
    evaluation_data,
    is_classical,
    kind,
    role,
    table,
    training_data,
)

MISSING: Final = "not recorded; to be filled in by hand"


def model_card(
    card: Json,
    metrics: Mapping[str, Json],
    sha256: str = "",
    division: Json | None = None,
    notes: Notes | None = None,
) -> str:
    """The text of the model card.

    Args:
        card: model.json.
        metrics: metrics.json; scores are {value, low, high}, or numbers without interval.
        sha256: the model's identity, left out where "".
        division: data/split/summary.json.
        notes: sentences by the keys of model_card_data.NOTE_TITLES; those that are missing leave no
            trace.
    """
    division, notes = division or {}, notes or {}
    sections = {
        checklists.DETAILS: _details(card, sha256),
        checklists.USE: _use(),
        checklists.FACTORS: _factors(card),
        checklists.METRICS: _metrics(metrics),
        checklists.EVALUATION: evaluation_data(card, metrics),
        checklists.TRAINING: training_data(card, division),
        checklists.ANALYSES: analyses(metrics, notes),
        "Ethical considerations": _ethics(card),
        checklists.CAVEATS: _caveats(card, metrics, division),
    }
    facts = {
        "division": bool(division),
        "intervals": all(isinstance(scores["accuracy"], Mapping) for scores in metrics.values()),
        "external": any(role(card, name) == "another laboratory" for name in metrics),
        "calibrated": "temperature" in card,
        "sensitivity": bool(notes.get("shortcuts") or notes.get("seeds")),
    }
    lines = [f"# Model card: {card['architecture']} for white blood cells", "", *_banners(card)]
    for title, body in sections.items():
        lines += ["", f"## {title}", "", *body]
    lines += ["", "## Reporting checklists", "", *_checklists(facts)]
    return "\n".join(lines) + "\n"


def _banners(card: Json) -> list[str]:
    found = ["**Not a medical device.** Research software: no result may decide about a patient."]
    if card.get("drawn"):
        found.append(
            "**Learned from drawn cells.** The scores say that the pipeline works, and nothing"
            " about blood."
        )
    if card.get("start_note"):
        found.append(f"**Fallback.** {card['start_note']}")
    return [f"> {text}\n>" for text in found[:-1]] + [f"> {found[-1]}"]


def _details(card: Json, sha256: str) -> list[str]:
    given, best, classical = card.get("input", {}), card.get("best", {}), is_classical(card)
    rows = [
        ("Model", f"{card['architecture']}, {kind(card)}"),
        ("Identity", f"SHA-256 `{sha256}`" if sha256 else ""),
        ("Task", "one picture of one leukocyte → one of five cell types, with probabilities"),
        ("Classes", ", ".join(card.get("classes", CLASSES))),
        ("Input", f"RGB, {given.get('size')} × {given.get('size')} pixels, {crop_words(card)}"),
        ("Started", STARTS.get(card.get("start", ""), "")),
        ("Layers trained", card.get("trained", "")),
        ("Epoch kept", "" if classical else f"{best.get('epoch')}, by macro-F1 on validation"),
        ("Tuned by", "cross-validation inside the training cells" if classical else ""),
        ("Decision", DECISIONS.get(card.get("decision", ""), "")),
        ("Calibration", f"probabilities at temperature {card['temperature']:.3f}, fitted on"
         " validation" if "temperature" in card else ""),
        ("Random numbers", f"seed {card['parameters']['seed']}" if "seed" in card.get(
            "parameters", {}) else ""),
        ("Pixels", f"SHA-256 `{card['inputs']['pixels']}`" if "inputs" in card else ""),
        ("Developer, licence, contact", MISSING),
    ]  # fmt: skip
    return table(("", ""), [row for row in rows if row[1]])


def _use() -> list[str]:
    return bullets(
        "Meant for: research on the automatic differential count, comparing networks, and"
        " preparing cells for a person's review.",
        "Users: machine-learning engineers and researchers beside a haematology laboratory.",
        "Not meant for: diagnosis, treatment, or releasing a result without a person who has seen"
        " the cells.",
        "Not able to: name anything but the five types. Blasts, immature granulocytes, smudge"
        " cells, platelets and dirt get one of the five as well.",
    )


def _factors(card: Json) -> list[str]:
    sources = ", ".join(source["name"] for source in card.get("sources", []))
    return bullets(
        "Cell type: every score is given for each type.",
        "Laboratory, microscope, camera and stain: one evaluation set for each source, see"
        f" {checklists.ANALYSES}. Sources: {sources}.",
        "Age, sex, descent and disease of the patients: not recorded in the data, so nothing is"
        " known about differences between them.",
    )


def _metrics(metrics: Mapping[str, Json]) -> list[str]:
    intervals = {str(scores.get("interval")) for scores in metrics.values()} & {"smears", "cells"}
    drawn = f" Resampled were {' or '.join(sorted(intervals))}." if intervals else ""
    return bullets(
        "Recall of each type, and its mean, the balanced accuracy: what a rare type is worth as"
        " much as a common one. Macro-F1 and MCC (Matthews) also count false alarms.",
        "ECE (expected calibration error) and Brier score judge the probabilities; 0 is best.",
        f"Brackets hold 95 % intervals: bootstrap for scores, Clopper–Pearson for recalls.{drawn}",
        "Where a set lacks types, means are over the types present.",
    )


def _ethics(card: Json) -> list[str]:
    origin = (
        "The cells are drawn; no person's data are involved."
        if card.get("drawn")
        else "The cells come from patients. Consent, approval and de-identification are matters of"
        " the sources and are not recorded here."
    )
    return bullets(
        origin,
        "A wrong cell type can mislead a diagnosis: a person must see the cells before any use.",
        "Who is under-represented cannot be told, because nothing is known of the patients.",
    )


def _caveats(card: Json, metrics: Mapping[str, Json], division: Json) -> list[str]:
    lines = [
        "Scores hold for cells stained and photographed as those of their set. Before any use in"
        " another laboratory, measure on its own labelled cells (a source of role external).",
        "Labels are taken as they come; where experts disagree, a part of the errors is theirs.",
    ]
    for name, scores in metrics.items():
        rare = [label for label, count in scores["support"].items() if count < 50]
        if rare:
            lines.append(
                f"{set_title(name)} has fewer than 50 cells of {', '.join(rare)}: one more or less"
                " moves their recall by two points or more."
            )
    if all(role(card, name) != "another laboratory" for name in metrics):
        lines.append("No other laboratory was tested: expect a fall there.")
    smears = division.get("smears", {})
    if smears and not any(smears.values()):
        lines.append(
            "Smears are unknown: scores on held-out cells may flatter and their intervals be too"
            " narrow."
        )
    return bullets(*lines)


def _checklists(facts: Mapping[str, bool]) -> list[str]:
    """Items of both lists that this card answers, and the rest, which is for a person."""
    lines = [
        "CLAIM, 2024 update (Tejani et al.), and TRIPOD+AI (Collins et al. 2024), by item number;"
        " topics are abridged. The HTML report answers more of them."
    ]
    for name in (checklists.CLAIM, checklists.TRIPOD):
        items = [item for item in checklists.ITEMS if item.checklist == name]
        where = {item: checklists.answered_in_card(item, facts) for item in items}
        rows = [(item.number, item.topic, place) for item, place in where.items() if place]
        rest = checklists.open_items([(item, bool(place)) for item, place in where.items()])
        lines += ["", f"### {name}: answered here", "", *table(("item", "asks", "section"), rows)]
        lines += ["", f"### {name}: to be added by hand, or read in the report", ""]
        lines += table(("item", "asks", "missing"), [(i.number, i.topic, m) for i, m in rest])
    return lines
