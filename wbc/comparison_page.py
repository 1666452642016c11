"""comparison/compare.html: all models on one page that needs no network."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from wbc import comparison_text as text
from wbc.comparison import STARTS, winners
from wbc.figures import set_title
from wbc.page import (
    NOT_A_DEVICE,
    Banner,
    Block,
    Cell,
    Items,
    Page,
    Section,
    Table,
    Text,
    picture,
    render,
    table,
)


def write(
    models: pd.DataFrame,
    tests: pd.DataFrame,
    folder: Path,
    drawn: bool,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write compare.html beside the figures in `folder`.

    Args:
        models: `comparison.compare`'s table.
        tests: `comparison_tests.paired_table`'s.
        drawn: the models learned from drawn cells.
        notes: {architecture: its card's start_note}, what its start should have been.
    """
    page = Page(
        title="Comparison of models",
        lead=text.INTRODUCTION,
        sections=[
            Section("best", "Best by validation", _best(models)),
            *_tables(models, folder),
            Section("tests", "Paired tests", _tests(tests)),
        ],
        banners=_banners(drawn, notes or {}),
    )
    (folder / "compare.html").write_text(render(page), encoding="utf-8")


def _banners(drawn: bool, notes: Mapping[str, str]) -> list[Banner]:
    found = [NOT_A_DEVICE]
    if drawn:
        found.append(
            Banner(
                "These models learned from drawn cells: the scores say that the pipeline works, and"
                " nothing about blood."
            )
        )
    by_note: dict[str, list[str]] = {}
    for name, note in notes.items():
        by_note.setdefault(note, []).append(name)
    return found + [Banner(f"{', '.join(by_note[note])}: {note}") for note in by_note if note]


def _best(models: pd.DataFrame) -> list[Block]:
    return [Items([f"{STARTS[start]}: {name}" for start, name in winners(models).items()])]


def _tables(models: pd.DataFrame, folder: Path) -> list[Section]:
    sections = []
    for name, shown in text.display_tables(models).items():
        words = text.MULTIPLY_ADDS if name == "Models" else ""
        blocks: list[Block] = [table(shown, words)]
        if name == "Models" and text.is_seeded(models):
            blocks.append(Text(text.SEEDS))
        key = name.removeprefix("Set ")
        blocks += picture(folder / f"{key}.png", f"Scores of all models with intervals, {name}")
        title = name if name == "Models" else set_title(key)
        sections.append(Section(f"set-{key}", title, blocks))
    return sections


def _tests(tests: pd.DataFrame) -> list[Block]:
    if tests.empty:
        return [Text("None: no two models have the same start.")]
    head, *rows = text.paired_rows(tests)
    cells = [[Cell(words) for words in (set_title(row[0]), *row[1:])] for row in rows]
    warnings = [Text(words, "warning") for words in text.cautions(tests)]
    return [Text(text.TESTS), *warnings, Table(head, cells, words=(1, 2))]
