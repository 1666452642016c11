"""comparison/compare.html: all models on one page that needs no network."""

from pathlib import Path

import pandas as pd

from wbc import comparison_text as text
from wbc.comparison import STARTS, winners
from wbc.figures import set_title
from wbc.page import Banner, Block, Items, Page, Section, Text, picture, render, table


def write(models: pd.DataFrame, tests: pd.DataFrame, folder: Path, drawn: bool) -> None:
    """Write compare.html beside the figures in `folder`.

    Args:
        models: `comparison.compare`'s table.
        tests: `comparison_tests.paired_table`'s.
        drawn: the models learned from drawn cells.
    """
    page = Page(
        title="Comparison of models",
        lead=text.INTRODUCTION,
        sections=[
            Section("best", "Best by validation", _best(models)),
            *_tables(models, folder),
            Section("tests", "Paired tests", _tests(tests)),
        ],
        banners=_banners(drawn),
    )
    (folder / "compare.html").write_text(render(page), encoding="utf-8")


def _banners(drawn: bool) -> list[Banner]:
    found = [Banner("Not a medical device: no result may decide about a patient.", "note")]
    if drawn:
        found.append(
            Banner(
                "These models learned from drawn cells: the scores say that the pipeline works, and"
                " nothing about blood."
            )
        )
    return found


def _best(models: pd.DataFrame) -> list[Block]:
    return [Items([f"{STARTS[start]}: {name}" for start, name in winners(models).items()])]


def _tables(models: pd.DataFrame, folder: Path) -> list[Section]:
    sections = []
    for name, shown in text.display_tables(models).items():
        words = text.MULTIPLY_ADDS if name == "Models" else ""
        blocks: list[Block] = [table(shown, words)]
        key = name.removeprefix("Set ")
        blocks += picture(folder / f"{key}.png", f"Scores of all models with intervals, {name}")
        title = name if name == "Models" else set_title(key)
        sections.append(Section(f"set-{key}", title, blocks))
    return sections


def _tests(tests: pd.DataFrame) -> list[Block]:
    if tests.empty:
        return [Text("None: no two models have the same start.")]
    return [Text(text.TESTS), Items(list(text.sentences(tests)))]
