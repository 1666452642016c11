"""What `wbc drift` writes: drift.json, drift.csv with a row a measure, drift.html."""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from wbc import figures, figures_drift
from wbc.disk import write_whole
from wbc.drift.findings import FAR, MIX, Cells, Finding
from wbc.drift.verdict import EXIT_STATUS, LIKE, Verdict
from wbc.metrics import NUM_DECIMALS
from wbc.page import NOT_A_DEVICE, Banner, Items, Page, Picture, Section, Table, Text, render
from wbc.page import Cell as TableCell
from wbc.wording import cells, p_value, percent

FILES: Final = ("drift.json", "drift.csv", "drift.html")
MARKER: Final = ".wbc-drift"  # the folder is ours, so what we wrote in it may be replaced


@dataclass(frozen=True)
class Report:
    """All that is said of a folder. `model` and `reference` are words for them."""

    name: str
    model: str
    reference: str
    classes: tuple[str, ...]
    found: Cells
    usual: Cells
    num_unreadable: int
    num_unlocated: int
    findings: tuple[Finding, ...]
    verdict: Verdict

    @property
    def num_files(self) -> int:
        return len(self.found) + self.num_unreadable


def write(report: Report, folder: Path) -> None:
    """All three, each whole or not at all; an earlier report in the folder is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    csv = table(report.findings).to_csv(index=False, lineterminator="\n")
    content = (json_text(report), csv, page(report))
    for name, text in zip(FILES, content, strict=True):
        write_whole(folder / name, text.encode())


def table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Columns: measure, found, reference, effect, p, p_corrected, drifted."""
    rows = [
        (f.measure.name, f.found, f.usual, f.effect, f.p, f.p_corrected, f.drifted)
        for f in findings
    ]
    columns = ["measure", "found", "reference", "effect", "p", "p_corrected", "drifted"]
    return pd.DataFrame(rows, columns=columns).round(NUM_DECIMALS)


def json_text(report: Report) -> str:
    """What another program wants to know; numbers that do not exist are null."""
    content = {
        "folder": report.name,
        "model": report.model,
        "reference": report.reference,
        "verdict": report.verdict.word,
        "exit_status": EXIT_STATUS[report.verdict.word],
        "reasons": list(report.verdict.reasons),
        "notes": list(report.verdict.notes),
        "num_cells": len(report.found),
        "num_unreadable": report.num_unreadable,
        "num_unlocated": report.num_unlocated,
        "num_reference": len(report.usual),
        "classes": _counts(report),
        "measures": [_without_nan(row) for row in table(report.findings).to_dict("records")],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def numbers(report: Report) -> dict[str, float]:
    """The same as MLflow's metrics, so that months can be put side by side."""
    found = {
        "num_cells": float(len(report.found)),
        "num_unreadable": float(report.num_unreadable),
        "num_unlocated": float(report.num_unlocated),
        "exit_status": float(EXIT_STATUS[report.verdict.word]),
        "num_drifted": float(sum(f.drifted for f in report.findings)),
    }
    for f in report.findings:
        found[f"effect/{f.measure.name}"] = f.effect
        found[f"p_corrected/{f.measure.name}"] = f.p_corrected
        if f.measure != MIX:
            found[f"found/{f.measure.name}"] = f.found
    for name, (here, _) in _counts(report).items():
        found[f"share/{name}"] = here / len(report.found)
    return {name: number for name, number in found.items() if math.isfinite(number)}


def page(report: Report) -> str:
    verdict = report.verdict
    words = f"{verdict.word.capitalize()}. {verdict.sentence}"
    banners = [Banner(words, "note" if verdict.word == LIKE else "warning"), NOT_A_DEVICE]
    lead = (
        f"{report.name}: {cells(len(report.found))} judged by {report.model} and compared with"
        f" {report.reference}."
    )
    return render(Page(f"Drift of {report.name}", lead, sections(report), banners))


def sections(report: Report) -> list[Section]:
    verdict = report.verdict
    ranked = [f for f in report.findings if f.measure not in (MIX, FAR)]
    here, there = (each.counts(len(report.classes)) for each in (report.found, report.usual))
    mix = figures_drift.class_mix(here, there, report.classes)
    shapes = figures_drift.distributions(report.found, report.usual, ranked)
    alike = "Cells are compared with the reference's of the same predicted type, so another mix"
    return [
        Section("reasons", "What drifted", [Items(verdict.reasons)] if verdict.reasons else []),
        Section("mix", "Mix of the classes", [_picture(mix, "Bars of the shares of the classes")]),
        Section("measures", "Measures", [
            Text(f"{alike} of types alone moves none of these measures."),
            _table(report.findings),
            _picture(shapes, "Histograms of every measure in folder and reference"),
        ]),
        Section("limits", "How far this goes", [
            Items([*read_words(report), *verdict.notes, *LIMITS]),
        ]),
    ]  # fmt: skip


LIMITS: Final = (
    "Cells are taken for independent. Those of one smear resemble each other, so a folder of few"
    " smears drifts by chance more often than the 1 % that the test allows.",
    "It says that pictures differ, not that decisions are wrong: only labels tell that.",
    "Nothing here sees what the measures do not measure.",
)


def read_words(report: Report) -> list[str]:
    words = []
    if report.num_unreadable:
        words.append(
            f"{report.num_unreadable:,} of {report.num_files:,} files cannot be read and count"
            " nowhere."
        )
    if report.num_unlocated:
        words.append(
            f"In {cells(report.num_unlocated)} no leukocyte was found; the whole picture was"
            " judged and compared."
        )
    return words


def _table(findings: Sequence[Finding]) -> Table:
    head = ("measure", "found", "reference", "effect", "p, corrected", "drifted")
    rows = [
        [
            TableCell(f.measure.title),
            TableCell(_number(f, f.found)),
            TableCell(_number(f, f.usual)),
            TableCell(effect_words(f)),
            TableCell(p_value(f.p_corrected).removeprefix("p\u00a0")),
            TableCell("yes" if f.drifted else "no"),
        ]
        for f in findings
    ]
    caption = (
        "Medians, the reference's weighted to the folder's mix. The effect is the share of the"
        " pairs of one predicted type in which the folder's cell has the larger value (50 %: no"
        " difference); of the mix, the share of cells that would have to be of other types."
    )
    return Table(head, rows, caption)


def effect_words(finding: Finding) -> str:
    if finding.measure == FAR or math.isnan(finding.effect):
        return "–"
    return percent(finding.effect, 0)


def _number(finding: Finding, value: float) -> str:
    if math.isnan(value):
        return "–"
    return percent(value) if finding.measure == FAR else f"{value:.3g}"


def _picture(figure: Figure, alt: str) -> Picture:
    return Picture(base64.b64encode(figures.png(figure)).decode("ascii"), alt)


def _counts(report: Report) -> dict[str, list[int]]:
    """{class: [cells of the folder, of the reference]}."""
    here, there = (each.counts(len(report.classes)) for each in (report.found, report.usual))
    return {name: [int(a), int(b)] for name, a, b in zip(report.classes, here, there, strict=True)}


def _without_nan(row: dict[Any, Any]) -> dict[Any, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in row.items()
    }
