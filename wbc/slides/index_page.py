"""The page over all slides: one row a slide and model, with links to the slides' own pages."""

from collections.abc import Mapping, Sequence

from wbc.cells import CLASSES
from wbc.page import NOT_A_DEVICE, Banner, Cell, Page, Section, Table, Text
from wbc.slides import copies
from wbc.slides.ranges import Ranges
from wbc.slides.reasons import OTHER, REASONS, of_fields_in_short
from wbc.slides.slide_page import MARKS
from wbc.slides.tally import Slide
from wbc.wording import cells


def build(
    slides: Sequence[Sequence[Slide]], links: Mapping[str, str], ranges: Ranges, num_queued: int,
    review_command: str,
) -> Page:  # fmt: skip
    """slides: of each slide its count by each model."""
    several = len(slides[0]) > 1
    head = ["slide", *(["model"] if several else []), "counted", *CLASSES, "not counted"]
    rows = [_row(slide, links[slide.name], several) for group in slides for slide in group]
    names = " and ".join(slide.judged.name for slide in slides[0])
    banners = [NOT_A_DEVICE]
    if any(slide.judged.card.get("drawn") for slide in slides[0]):
        banners.append(Banner("A model here learned from drawn cells: its answers mean nothing."))
    table = Table(
        head,
        rows,
        "Percent of the counted cells; ▼ and ▲ where the intervals exclude the reference range.",
        words=(*((1,) if several else ()), len(head) - 1),
    )
    return Page(
        "Differentials",
        f"{len(slides):,} slide{'s' if len(slides) != 1 else ''} by {names}.",
        [
            Section("slides", "Slides", [table]),
            Section("review", "To review", _review(num_queued, review_command)),
            Section("ranges", "Reference ranges", [_ranges(ranges)]),
        ],
        banners,
        "Research software; not a medical device: nothing here may decide about a patient.",
    )


def _row(slide: Slide, link: str, several: bool) -> list[Cell]:
    shares = [Cell("–")] * len(CLASSES)
    if not slide.table.empty:
        shares = [
            Cell(f"{row['percent']:.1f}", MARKS[row["mark"]])
            for row in slide.table.to_dict("records")
        ]
    left = {reason: slide.num(reason) for reason in (*REASONS, OTHER) if slide.num(reason)}
    in_short = of_fields_in_short if slide.of_fields else "{:,} {}".format
    why = [in_short(number, reason) for reason, number in left.items()]
    why += [copies.words(len(slide.copies))] * bool(slide.copies)
    return [
        Cell(slide.name, slide.caution.partition(":")[0], link=link),
        *([Cell(slide.judged.name)] if several else []),
        Cell(f"{slide.num_counted:,}", f"{slide.num_reviewed} reviewed" * bool(slide.num_reviewed)),
        *shares,
        Cell(f"{sum(left.values()) + len(slide.copies):,}", ", ".join(why)),
    ]


def _review(num_queued: int, command: str) -> list[Text]:
    if not num_queued:
        return [Text("Nothing: no cell is left to a person.")]
    return [
        Text(f"{cells(num_queued)} that the model leaves to a person (review.csv):"),
        Text(command, "commands"),
    ]


def _ranges(ranges: Ranges) -> Text:
    listed = "; ".join(f"{name} {low:g}–{high:g} %" for name, (low, high) in ranges.percent.items())
    return Text(f"{listed}. {ranges.about[0].upper()}{ranges.about[1:]} ({ranges.source}).")
