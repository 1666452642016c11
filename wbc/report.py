"""reports/ARCH/report.html, everything that is known of one model on one page, and its model card.

Made from files alone (the model's card, the tables and figures that evaluate wrote, the summary of
the division), so it can be made again at any time; a part whose file is missing is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wbc import report_end, report_method, report_scores, report_shift, report_trust
from wbc.cells import CLASSES
from wbc.comparison import STARTS
from wbc.figures import set_title
from wbc.model import model_sha256
from wbc.model_card import model_card
from wbc.model_card_data import kind
from wbc.page import NOT_A_DEVICE, Banner, Block, Cell, Page, Section, Table, Text, render
from wbc.report_scores import interval
from wbc.wording import percent
from wbc.written import read_json

Json = Mapping[str, Any]
PAGE_FILE, CARD_FILE = "report.html", "model_card.md"
TABLES = ("counts", "shift", "shortcuts")  # CSVs of reports/ARCH that the page reads


@dataclass(frozen=True)
class Material:
    """What a page is made of; `tables` holds the CSVs that are there, by name."""

    card: Json
    metrics: Mapping[str, Json]
    division: Json
    seeds: Json
    tables: Mapping[str, pd.DataFrame]
    figures: Path
    sha256: str

    def external(self) -> list[str]:
        """Evaluation sets of laboratories that the model never learned from."""
        names = [s["name"] for s in self.card["sources"] if s["role"] == "external"]
        return [name for name in self.metrics if name in names]

    def internal(self) -> list[str]:
        """The evaluation sets that are neither validation nor another laboratory."""
        return [name for name in self.metrics if name != "val" and name not in self.external()]

    def in_order(self) -> list[str]:
        """The sets as tables show them: validation, tests, other laboratories."""
        return ["val", *self.internal(), *self.external()]


def read(model_dir: Path, report_dir: Path, division: Path) -> Material:
    """Read everything from the folders that train, evaluate and split wrote."""
    there = [name for name in TABLES if (report_dir / f"{name}.csv").is_file()]
    tables = {name: pd.read_csv(report_dir / f"{name}.csv") for name in there}
    tables = {name: table for name, table in tables.items() if len(table)}
    return Material(
        _json(model_dir / "model.json"),
        _json(report_dir / "metrics.json"),
        _json(division),
        _json(report_dir / "seeds.json"),
        tables,
        report_dir / "figures",
        model_sha256(model_dir),
    )


def write(material: Material, report_dir: Path) -> None:
    """Write report.html and model_card.md."""
    (report_dir / PAGE_FILE).write_text(render(build(material)), encoding="utf-8")
    text = model_card(
        material.card,
        material.metrics,
        material.sha256,
        material.division,
        report_end.notes(material),
    )
    (report_dir / CARD_FILE).write_text(text, encoding="utf-8")


def build(material: Material) -> Page:
    """The page as blocks."""
    card = material.card
    sections = [
        Section("summary", "Summary", summary(material)),
        Section("data", "Data and division", data(material)),
        Section("scores", "Scores", report_scores.scores(material)),
        Section("confusion", "Confusion", report_scores.confusion(material)),
        Section("curves", "ROC and precision–recall", report_scores.curves(material)),
        Section("calibration", "Calibration and abstention", report_scores.calibration(material)),
        Section("counts", "Counts", report_trust.counts(material)),
        Section("shift", "Other laboratories", report_shift.shift(material)),
        Section("mistakes", "Mistakes", report_trust.mistakes(material)),
        Section("why", "Where the model looks", report_trust.why(material)),
        Section("shortcuts", "Shortcuts", report_trust.shortcuts(material)),
        Section("training", "Training", report_end.training(material)),
        Section("limits", "Limits", report_end.limits(material)),
        Section("method", "How it works", report_method.method(material)),
        Section("reproduce", "How to make it again", report_method.reproduce(material)),
    ]
    shown = {section.name: section.title for section in sections if section.blocks}
    blocks = report_end.checklist_tables(shown, report_end.facts(material))
    sections.append(Section("checklists", "CLAIM and TRIPOD+AI", blocks))
    return Page(
        title=f"{card['architecture']}: white blood cells in five types",
        lead=f"{kind(card).capitalize()}, {STARTS[card['start']]}, trained on"
        f" {card['num_train']:,} cells. Model {material.sha256[:12]}.",
        sections=sections,
        banners=banners(material),
        footer="Research software; not a medical device: nothing here may decide about a patient.",
    )


def banners(material: Material) -> list[Banner]:
    """What must not be overlooked."""
    card = material.card
    found = [NOT_A_DEVICE]
    if card["drawn"]:
        found.append(
            Banner(
                "This model learned from drawn cells. Its scores say that the pipeline works, and"
                " nothing about blood."
            )
        )
    if card["start_note"]:
        found.append(Banner(str(card["start_note"])))
    found += [Banner(text) for text in report_trust.shortcut_warnings(material)]
    return found + [Banner(text) for text in report_shift.banners(material)]


def summary(material: Material) -> list[Block]:
    """In plain words: how good, how sure, where it stops being true."""
    lines = [_sentence(name, material.metrics[name]) for name in material.internal()]
    if not lines:
        lines = [_sentence("val", material.metrics["val"])]
    lines += [_sentence(name, material.metrics[name]) for name in material.external()]
    lines += report_trust.calibration_sentence(material)
    lines += report_trust.count_sentence(material)
    lines += report_trust.shortcut_sentences(material)[:1]
    return [Text(line) for line in lines]


def _sentence(name: str, scores: Json) -> str:
    text = (
        f"{set_title(name)} ({scores['num_cells']:,} cells): {interval(scores['accuracy'])} of the"
        f" cells are named right; averaged over cell types,"
        f" {interval(scores['balanced_accuracy'])}. Always answering"
        f" “{scores['constant']['class']}” would give {percent(scores['constant']['accuracy'])} and"
        f" {percent(scores['constant']['balanced_accuracy'])}. {_weakest(scores)}"
    )
    if scores.get("share_impossible"):
        text += (
            f" {percent(scores['share_impossible'])} of the cells are sent to types that it lacks."
        )
    return text


def _weakest(scores: Json) -> str:
    """The types that are found least, all of them where several are."""
    found = {label: float(score["value"]) for label, score in scores["recall"].items()}
    weakest = [label for label in found if found[label] == min(found.values())]
    if len(weakest) > 1 and len(weakest) == len(found):
        return f"Every type is found equally often, {percent(found[weakest[0]])}."
    each = (f"{label}, {interval(scores['recall'][label])} of {scores['support'][label]:,} found"
            for label in weakest)  # fmt: skip
    return f"Weakest: {'; '.join(each)}."


def data(material: Material) -> list[Block]:
    """Where the cells come from and who went where."""
    division, blocks = material.division, []
    for source in material.card["sources"]:
        role = "tested on only" if source["role"] == "external" else "trained on"
        blocks.append([Cell(source["name"]), Cell(source["kind"]), Cell(role)])
    found: list[Block] = [Table(["source", "kind", "role"], blocks, words=(1, 2))]
    if not division:
        return found
    order = ["train", *material.metrics, *division["cells"]]
    cells = {part: division["cells"][part] for part in order if part in division["cells"]}
    rows = [
        [Cell(label), *(Cell(f"{cells[part].get(label, 0):,}") for part in cells)]
        for label in CLASSES
    ]
    rows.append([Cell("all"), *(Cell(f"{cells[part]['total']:,}") for part in cells)])
    smears = division["smears"]
    known = [Cell(f"{smears[part]:,}" if smears[part] else "unknown") for part in cells]
    rows.append([Cell("smears"), *known])
    found.append(Table(["cell type", *cells], rows, "Cells of each part of the data."))
    if not any(smears.values()):
        found.append(
            Text(
                "No source names its smears, so cells of one smear or patient may lie on both"
                " sides of the division; the scores on its own test set may flatter, and their"
                " intervals are too narrow.",
                "warning",
            )
        )
    else:
        shared = division.get("smears_in_train_and_test", 0)
        found.append(
            Text(
                "Divided were whole smears, where they are known: none lies on both sides."
                + (
                    f" The published division shares {shared:,} of training and test."
                    * bool(shared)
                )
            )
        )
    found.append(
        Text(
            f"Copies: {division['exact_copies']:,} exact and {division['near_copies']:,} near pairs"
            f" were found, {division['copies_across_splits']:,} of them across parts;"
            f" {division['left_out']:,} cells were left out and {division['unreadable']:,} files"
            " could not be read. data/split/report.md names all of them."
        )
    )
    return found


def _json(path: Path) -> Json:
    if not path.is_file():
        return {}
    return read_json(path)
