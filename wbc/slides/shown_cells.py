"""The cells that a slide's page shows: those on which models differ, to review, of each type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from wbc.cells import CLASSES
from wbc.page import Block, Gallery, Text, Tile
from wbc.slides.agreement import Agreement
from wbc.slides.ranges import Ranges
from wbc.slides.tally import Slide
from wbc.slides.thumbnails import Square, thumbnail
from wbc.wording import NBSP, cells, percent

EACH: Final = 6  # most and least certain cells of a type
QUEUE: Final = 24  # cells of the review queue on a page; review.csv has all
DIFFERING: Final = 24


@dataclass(frozen=True)
class Shown:
    """What a page is made of, beside the slide by each model (the first one leads).

    queue: names of cells to review, the least sure first; overlays: of those with a Grad-CAM map.
    """

    slides: Sequence[Slide]
    agreements: Sequence[Agreement]
    ranges: Ranges
    queue: Sequence[str]
    pictures: Mapping[str, Square]
    overlays: Mapping[str, Square]
    review_command: str


def wanted(
    slides: Sequence[Slide], agreements: Sequence[Agreement], queue: Sequence[str]
) -> list[str]:
    """Names of all cells that the page shows."""
    names = [name for pair in galleries(slides[0]).values() for part in pair for name in part]
    names += [name for each in agreements for name in each.differing.index[:DIFFERING]]
    return [*names, *queue[:QUEUE]]


def galleries(slide: Slide) -> dict[str, tuple[list[str], list[str]]]:
    """{type: (most certain, least certain)}: names of cells that the model counted, none twice."""
    rows = slide.rows[(slide.rows["reason"] == "") & (slide.rows["label"] == "")]
    found = {}
    for name in CLASSES:
        of_type = rows[rows["type"] == name].sort_values([f"p_{name}", "path"])
        names = list(of_type["path"])
        least = names[: min(EACH, len(names) // 2)]
        found[name] = (names[len(least) :][-EACH:][::-1], least)
    return found


def differing(each: Agreement, shown: Shown) -> list[Block]:
    num_differing = len(each.differing)
    if not each.num_both:
        return [Text("There is no cell for which both have answered.")]
    blocks: list[Block] = [
        Text(
            f"{each.first} and {each.second} give {percent(each.share)} of"
            f" {cells(each.num_both)} the same name, sure or not; on {num_differing:,} they differ."
        )
    ]
    tiles = [
        Tile(
            [_picture(str(name), shown.pictures)],
            f"{row['first']} {percent(row['p_first'], 0)} or"
            f" {row['second']} {percent(row['p_second'], 0)}",
            _source(str(name), shown),
        )
        for name, row in each.differing.head(DIFFERING).iterrows()
    ]
    return [*blocks, Gallery(tiles)] if tiles else blocks


def gallery(shown: Shown) -> list[Block]:
    blocks: list[Block] = []
    rows = shown.slides[0].rows
    for name, (most, least) in galleries(shown.slides[0]).items():
        for title, names in (("most certain", most), ("least certain", least)):
            if names:
                blocks.append(Text(f"{name}: {title}", "heading"))
                tiles = [
                    Tile(
                        [_picture(each, shown.pictures)],
                        percent(rows.loc[each, f"p_{name}"]),
                        _source(each, shown),
                    )
                    for each in names
                ]
                blocks.append(Gallery(tiles))
    return blocks


def queue(shown: Shown) -> list[Block]:
    if not shown.queue:
        return [Text("Nothing: no cell is left to a person.")]
    rows = shown.slides[0].rows
    tiles = [_queued(rows.loc[name].to_dict(), shown) for name in shown.queue[:QUEUE]]
    more = len(shown.queue) - len(tiles)
    blocks: list[Block] = [
        Text(
            f"{cells(len(shown.queue))} that the model leaves to a person, the least sure first."
            + (f" {more:,} more are in review.csv." if more else "")
            + " Answers are given, and counted at the next differential, with"
        ),
        Text(shown.review_command, "commands"),
    ]
    if shown.overlays:
        blocks.append(
            Text(
                "Right of each cell: what raised the score of the answer (Grad-CAM), yellow most."
                " It says where the network looked, not whether it is right."
            )
        )
    return [*blocks, Gallery(tiles)]


def _queued(row: Mapping[Any, Any], shown: Shown) -> Tile:
    name = str(row["path"])
    pictures = [_picture(name, shown.pictures)]
    if name in shown.overlays:
        pictures.append(thumbnail(shown.overlays[name]))
    shares = sorted(((row[f"p_{each}"], each) for each in CLASSES), reverse=True)[:2]
    likely = ", ".join(f"{each} {percent(share, 0)}" for share, each in shares)
    why = f"{row['reason']}; " if row["reason"] not in ("uncertain", "") else ""
    return Tile(pictures, f"{row['class']}?", f"{why}{likely}; {_source(name, shown)}")


def _source(name: str, shown: Shown) -> str:
    """The picture's file, or the field and which of its cells it is."""
    slide = shown.slides[0]
    if not slide.of_fields:
        return PurePosixPath(name).name
    row = slide.rows.loc[name]
    return f"{PurePosixPath(row['field']).name}, cell{NBSP}{row['cell']}"


def _picture(name: str, pictures: Mapping[str, Square]) -> str:
    return thumbnail(pictures[name]) if name in pictures else ""
