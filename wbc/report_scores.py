"""The report's sections on scores, curves and calibration: blocks from metrics and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wbc.cells import CLASSES, CLASSICAL
from wbc.figures import set_phrase, set_title
from wbc.page import Block, Cell, Table, Text, picture
from wbc.wording import percent

if TYPE_CHECKING:
    from wbc.report import Material

Json = Mapping[str, Any]
SHARES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "mcc": "Matthews correlation",
}


def interval(score: Json) -> str:
    """98.7 % (97.4–99.4) of a share and its 95 % interval."""
    return f"{percent(score['value'])} ({100 * score['low']:.1f}–{100 * score['high']:.1f})"


def interval_cell(score: Json | None, as_percent: bool = True, digits: int = 3) -> Cell:
    """Value, and its interval in small; – where the set has none. `digits` are of no percentage."""
    if score is None:
        return Cell("–")
    if as_percent:
        return Cell(percent(score["value"]), f"{100 * score['low']:.1f}–{100 * score['high']:.1f}")
    value, low, high = (f"{score[name]:.{digits}f}" for name in ("value", "low", "high"))
    return Cell(value, f"{low}–{high}")


def scores(material: Material) -> list[Block]:
    """One table over the sets, one over the cell types, and the spread over seeds."""
    blocks: list[Block] = [_by_set(material), Text(_method(material))]
    blocks += _notes(material)
    blocks.append(_by_class(material))
    blocks += picture(
        material.figures / "recall.png", "Recall of every cell type on every evaluation set"
    )
    return blocks + _seeds(material)


def _by_set(material: Material) -> Table:
    head = ["set", "cells", *SHARES.values(), "constant answer (accuracy / balanced)"]
    rows = []
    for name, found in material.metrics.items():
        constant = found["constant"]
        rows.append(
            [
                Cell(set_title(name)),
                Cell(f"{found['num_cells']:,}"),
                *(_score_cell(found, key) for key in SHARES),
                Cell(
                    f"{percent(constant['accuracy'])} / {percent(constant['balanced_accuracy'])}",
                    f"{constant['class']}",
                ),
            ]
        )
    return Table(head, rows, "Each set by itself, with 95 % intervals.")


def _score_cell(found: Json, key: str) -> Cell:
    if key == "mcc" and len(found["support"]) == 1:
        return Cell("–", "one type only")
    return interval_cell(found[key], key != "mcc")


def _method(material: Material) -> str:
    by_smear = [n for n, found in material.metrics.items() if found["interval"] == "smears"]
    by_cell = [n for n in material.metrics if n not in by_smear]
    by_smear, by_cell = list(map(set_phrase, by_smear)), list(map(set_phrase, by_cell))
    chosen = (
        "Nothing but the temperature was fitted on the validation set; the model was tuned inside"
        " the training cells."
        if material.card["architecture"] == CLASSICAL
        else "The epoch was chosen on the validation set, so its scores flatter; nothing was chosen"
        " on the others."
    )
    parts = []
    if by_smear:
        parts.append(f"whole smears were resampled for {', '.join(by_smear)}")
    if by_cell:
        parts.append(
            f"single cells for {', '.join(by_cell)}, where no smears are known: cells of one smear"
            " resemble each other, so these intervals are rather too narrow"
        )
    return (
        "Intervals come from the bootstrap: " + "; ".join(parts) + ". Recalls have Clopper–Pearson"
        " intervals. No other is narrower than one for independent cells, so that a few cells"
        " without a mistake are no certainty. Balanced accuracy is the mean recall of the cell"
        " types that a set holds. The constant answer always names the set's most frequent type."
        f" {chosen}"
    )


def _notes(material: Material) -> list[Block]:
    return [
        Text(f"{set_title(name)}: {found['interval_note']}", "warning")
        for name, found in material.metrics.items()
        if found.get("interval_note")
    ]


def _by_class(material: Material) -> Table:
    rows = []
    for name, found in material.metrics.items():
        labels = [label for label in CLASSES if label in found["support"]]
        for label in labels:
            rows.append(
                [
                    Cell(set_title(name) if label == labels[0] else ""),
                    Cell(label),
                    Cell(f"{found['support'][label]:,}"),
                    interval_cell(found["recall"][label]),
                    interval_cell(found["precision"][label]),
                    interval_cell(found["f1"][label], as_percent=False),
                    interval_cell(found["auroc"].get(label), as_percent=False),
                    interval_cell(found["average_precision"].get(label), as_percent=False),
                ]
            )
    head = ("set", "cell type", "cells", "recall", "precision", "F1", "AUROC", "average precision")
    return Table(head, rows, "Each cell type by itself, with 95 % intervals.", words=(1,))


def _seeds(material: Material) -> list[Block]:
    first: Json = next(iter(material.seeds.values()), {})
    num_seeds = max((len(score["values"]) for score in first.values()), default=0)
    if num_seeds < 2:
        return [
            Text(
                "One training seed: how much another draw of the training would change these"
                " numbers is not known. List several in train.seeds to see it."
            )
        ]
    rows = []
    for name, found in material.seeds.items():
        cells = [Cell(set_title(name))]
        for score in found.values():
            spread = (
                f"± {100 * score['sd']:.1f} ({100 * score['min']:.1f}–{100 * score['max']:.1f})"
            )
            cells.append(Cell(f"{100 * score['mean']:.1f}", spread))
        rows.append(cells)
    head = ["set", *(SHARES.get(name, name.upper()) for name in first)]
    caption = f"{num_seeds} training seeds: mean ± standard deviation (least–most), times 100."
    return [Table(head, rows, caption)]


def confusion(material: Material) -> list[Block]:
    return _of_sets(material, "confusion", "True cell types and decisions")


def curves(material: Material) -> list[Block]:
    """ROC and precision-recall of every set."""
    return _of_sets(material, "roc_pr", "One-vs-rest ROC and precision–recall curves")


def calibration(material: Material) -> list[Block]:
    """Whether a probability of 90 % is right nine times in ten."""
    rows = [
        [
            Cell(set_title(name)),
            interval_cell(found["ece_uncalibrated"]),
            interval_cell(found["ece"]),
            interval_cell(found["brier"], as_percent=False),
            interval_cell(found["log_loss"], as_percent=False),
            interval_cell(found["aurc"], as_percent=False, digits=4),
        ]
        for name, found in material.metrics.items()
    ]
    head = ("set", "ECE before", "ECE after", "Brier score", "log loss", "area of risk–coverage")
    temperature = material.card.get("temperature", 1.0)
    blocks: list[Block] = [
        Text(
            "Expected calibration error (ECE) is the mean distance between how sure the model says"
            " it is and how often it is right, before and after the temperature"
            f" {temperature:.3f}, which was fitted on the validation set: it divides what the model"
            " says beyond the class mix of training. It is right for the laboratory that it was"
            " fitted on, and need not be for another."
        ),
        Table(head, rows),
    ]
    blocks += _of_sets(material, "reliability", "Confidence against share right")
    return blocks + _of_sets(material, "risk_coverage", "Errors left when unsure cells are refused")


def _of_sets(material: Material, kind: str, alt: str) -> list[Block]:
    """The figure of this kind for every set, or the one that shows all."""
    paths: Sequence[tuple[str, str]] = [
        (f"{kind}_{name}.png", f"{alt}, {set_title(name)}") for name in material.in_order()
    ]
    blocks: list[Block] = []
    for file, text in [*paths, (f"{kind}.png", alt)]:
        blocks += picture(material.figures / file, text)
    return blocks
