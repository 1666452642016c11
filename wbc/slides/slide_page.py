"""The page of one slide: its differential, what was not counted, its cells, what to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from wbc import figures
from wbc.cells import CLASSES
from wbc.figures_counts import differential
from wbc.model import parameter
from wbc.page import (
    NOT_A_DEVICE,
    Banner,
    Block,
    Cell,
    Page,
    Section,
    Table,
    Text,
    picture,
)
from wbc.reference import USUAL_SHARE
from wbc.shift import SHIFTED
from wbc.slides import copies, shown_cells
from wbc.slides.reasons import ABOUT, OF_FIELDS, OTHER
from wbc.slides.shown_cells import Shown
from wbc.slides.tally import Slide
from wbc.wording import NBSP, cells, percent

MARKS: Final = {"low": "▼ low", "high": "▲ high", "": ""}


def build(shown: Shown) -> Page:
    first = shown.slides[0]
    sections = [
        Section("differential", "Differential", _differential(shown)),
        Section("abstentions", "Not counted", _abstentions(first)),
        Section("models", "Models compared", _models(shown)),
        Section("queue", "To review", shown_cells.queue(shown)),
        Section("gallery", "Cells counted", shown_cells.gallery(shown)),
        Section("method", "How to read this", [Text(line) for line in _method(shown)]),
    ]
    return Page(
        title=f"Slide {first.name}",
        lead=f"{first.num_counted:,} leukocytes counted of {_looked_at(first)}, by"
        f" {' and '.join(slide.judged.name for slide in shown.slides)}.",
        sections=sections,
        banners=banners(shown.slides),
        footer="Research software; not a medical device: nothing here may decide about a patient.",
    )


def _looked_at(slide: Slide) -> str:
    if not slide.of_fields:
        return f"{len(slide.rows):,} pictures"
    return f"{slide.num_read():,} that were found in {_fields(slide.num_fields)}"


def _fields(number: int) -> str:
    return f"{number:,} field{'s' if number != 1 else ''}"


def banners(slides: Sequence[Slide]) -> list[Banner]:
    """What must not be overlooked."""
    found = [NOT_A_DEVICE]
    first = slides[0]
    if any(slide.judged.card.get("drawn") for slide in slides):
        found.append(Banner("A model here learned from drawn cells: its answers mean nothing."))
    if first.caution:
        found.append(Banner(f"{first.caution[0].upper()}{first.caution[1:]}."))
    for slide in slides:
        num_outside = slide.num_out_of_domain() or 0
        share = num_outside / max(1, slide.num_read())
        if share > SHIFTED:
            found.append(
                Banner(
                    f"{percent(share, 0)} of the {_unit(slide)} are out of domain for"
                    f" {slide.judged.name}: unlike its training cells, so its answers and all"
                    " intervals here are worth less."
                )
            )
    return found


def _differential(shown: Shown) -> list[Block]:
    blocks: list[Block] = []
    for slide in shown.slides:
        if len(shown.slides) > 1:
            blocks.append(Text(slide.judged.name, "heading"))
        if slide.table.empty:
            blocks.append(Text("No cell could be counted.", "warning"))
            continue
        blocks.append(differential_table(slide))
        if slide is shown.slides[0]:
            blocks += _figure(slide)
    return blocks


def differential_table(slide: Slide) -> Table:
    head = ["cell type", "cells", "percent", "adjusted", "reference range", "mark"]
    rows = [_type_row(row) for row in slide.table.to_dict("records")]
    total = Cell(f"{slide.num_counted:,}", _reviewed(int(slide.table["reviewed"].sum())))
    rows.append([Cell("all"), total, Cell("100"), Cell(""), Cell(""), Cell("")])
    caption = "Percent of the counted cells, with 95 % intervals."
    return Table(head, rows, caption, words=(5,))


def _type_row(row: Mapping[Any, Any]) -> list[Cell]:
    adjusted, ends = Cell("–"), Cell("–")
    if not np.isnan(row["adjusted"]):
        adjusted = _interval(row["adjusted"], row["adjusted_low"], row["adjusted_high"])
    if not np.isnan(row["range_low"]):
        ends = Cell(f"{row['range_low']:g}–{row['range_high']:g}")
    return [
        Cell(row["class"]),
        Cell(f"{row['counted']:,}", _reviewed(row["reviewed"])),
        _interval(row["percent"], row["low"], row["high"]),
        adjusted,
        ends,
        Cell(MARKS[row["mark"]]),
    ]


def _interval(value: float, low: float, high: float) -> Cell:
    return Cell(f"{value:.1f}", f"{low:.1f}–{high:.1f}")


def _reviewed(number: int) -> str:
    return f"{number:,} by a person" if number else ""


def _figure(slide: Slide) -> list[Block]:
    drawn = differential(slide.table, f"Slide {slide.name}", slide.judged.name)
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "differential.png"
        figures.save(drawn, path)
        return list(picture(path, f"Differential of slide {slide.name} with intervals"))


def _abstentions(slide: Slide) -> list[Block]:
    kinds = [kind for kind in ABOUT if slide.num(kind) or kind != OTHER]
    about = ABOUT | OF_FIELDS if slide.of_fields else ABOUT
    rows = [[Cell(kind), Cell(f"{slide.num(kind):,}"), Cell(about[kind])] for kind in kinds]
    head = ["why", "number" if slide.of_fields else "pictures", "what it means"]
    blocks: list[Block] = [Table(head, rows, "In no percentage above.", words=(2,))]
    unsure = slide.rows[slide.rows["reason"] == "uncertain"]
    if len(unsure):
        counted = unsure["type"].value_counts()
        named = ", ".join(f"{counted[name]} {name}" for name in CLASSES if name in counted)
        blocks.append(
            Text(
                f"The uncertain cells would be: {named}. Types that the model is less often sure of"
                " are too few above for as long as nobody has looked at these."
            )
        )
    return [*blocks, *_without_cell(slide), *copies.listed(slide.copies)]


def _without_cell(slide: Slide) -> list[Block]:
    """The files that gave nothing to judge, and why."""
    without = slide.rows[slide.rows["class"].isna()]
    if without.empty:
        return []
    rows = without.to_dict("records")
    listed = [[Cell(row["path"]), Cell(row["error"] or "no leukocyte found")] for row in rows]
    title = f"The {cells(len(rows)).replace('cell', 'file')} that could not be read"
    if slide.of_fields:
        title = f"The {_fields(len(rows))} without a cell to judge"
    return [Table(["file", "reason"], listed[:200], words=(1,), folded=title)]


def _unit(slide: Slide) -> str:
    return "cells" if slide.of_fields else "pictures"


def _models(shown: Shown) -> list[Block]:
    if len(shown.slides) < 2:
        return []
    head = ["cell type", *(slide.judged.name for slide in shown.slides)]
    rows = [[Cell(name), *(_share(slide, name) for slide in shown.slides)] for name in CLASSES]
    rows.append([Cell("counted"), *(Cell(f"{slide.num_counted:,}") for slide in shown.slides)])
    unsure = (Cell(f"{slide.num('uncertain'):,}") for slide in shown.slides)
    rows.append([Cell("uncertain"), *unsure])
    blocks: list[Block] = [Table(head, rows, "Percent of the cells that each model counted.")]
    for each in shown.agreements:
        blocks += shown_cells.differing(each, shown)
    return blocks


def _share(slide: Slide, name: str) -> Cell:
    if slide.table.empty:
        return Cell("–")
    row = slide.table.set_index("class").loc[name]
    return _interval(row["percent"], row["low"], row["high"])


def _method(shown: Shown) -> list[str]:
    lines = [
        "Counted is every cell that the model is sure of, as the type that is most probable under"
        " the class mix it was trained on, and every cell that a person has named.",
        "Percent has Rümke's interval: the luck of which cells were met, for this many cells. It"
        " knows nothing of wrong types.",
    ]
    if shown.slides[0].of_fields:
        lines.append(_about_fields(shown.slides[0]))
    if any(slide.judged.validation is None for slide in shown.slides):
        lines.append(
            "Adjusted is empty for a model whose validation cells could not be found; an adapted"
            " model has none."
        )
    if any(slide.judged.validation is not None for slide in shown.slides):
        lines.append(
            "Adjusted takes the model's known errors out of its counts: those on the validation"
            " cells that it was sure of. It supposes that types are mixed up here as they were"
            " there. On the slides of another laboratory that need not hold; then it is a what-if."
        )
    for slide in shown.slides:
        num_outside = slide.num_out_of_domain()
        if num_outside is not None:
            lines.append(
                f"{num_outside} of {slide.num_read():,} {_unit(slide)} are out of domain for"
                f" {slide.judged.name}; of the validation cells {percent(1 - USUAL_SHARE, 0)} were."
                " They are counted like the others."
            )
    if any(_weighted(slide) for slide in shown.slides):
        lines.append(
            "A model here was trained with train.imbalance: loss_weights, so it counts as if all"
            " types were equally frequent: too many rare ones. Read the adjusted count."
        )
    about = shown.ranges.about.rstrip(".")
    lines.append(
        f"Reference ranges: {about} ({shown.ranges.source}). A mark stands only where"
        f" both intervals lie outside the range, and never under 100{NBSP}cells; five types"
        " on many slides give some marks by chance."
    )
    return lines


def _about_fields(slide: Slide) -> str:
    return (
        f"Cells were found in whole fields. {slide.num_cut:,} of {slide.num_read():,} are cut by"
        " their field's border; each is counted once, like the others, as what the model makes of"
        " the part that is there. Where fields overlap or adjoin, a cell may be counted twice."
    )


def _weighted(slide: Slide) -> bool:
    return bool(parameter(slide.judged.card, "train.imbalance") == "loss_weights")
