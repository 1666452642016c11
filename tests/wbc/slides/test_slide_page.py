"""What a slide's page shows, and what it says first."""

from typing import Any

from tests.wbc.slides.cases import judged, perfect, row, unreadable
from wbc.page import Table, render
from wbc.slides import ranges, slide_page
from wbc.slides.shown_cells import Shown, galleries
from wbc.slides.tally import Slide, slide_of


def slide(rows: list[dict[str, Any]], **given: Any) -> Slide:
    one = judged(rows, **given)
    return slide_of("s", one, one.rows, {}, ranges.read(), {})


def shown(*slides: Slide, queue: tuple[str, ...] = ()) -> Shown:
    return Shown(slides, [], ranges.read(), queue, {}, {}, "python -m wbc review out")


def words(*slides: Slide) -> list[str]:
    return [banner.text for banner in slide_page.banners(slides)]


def test_the_most_and_the_least_certain_are_shown_and_no_cell_twice() -> None:
    rows = [row(f"{number:02}", "monocyte", 0.5 + number / 100) for number in range(20)]
    rows += [row("e1", "eosinophil", 0.6), row("e2", "eosinophil"), row("b", "basophil")]
    rows += [row("u", "monocyte", 0.45, uncertain=True)]
    found = galleries(slide(rows))
    most, least = found["monocyte"]
    assert most == ["19", "18", "17", "16", "15", "14"]
    assert least == ["00", "01", "02", "03", "04", "05"]
    assert found["eosinophil"] == (["e2"], ["e1"]) and found["basophil"] == (["b"], [])
    assert found["neutrophil"] == ([], [])


def test_what_must_not_be_overlooked_stands_first() -> None:
    many = [row(f"{number}", "monocyte") for number in range(200)]
    assert len(words(slide(many))) == 1 and "Not a medical device" in words(slide(many))[0]
    assert words(slide(many[:150]))[1] == "Few cells: 150, better 200 or more."
    assert words(slide(many[:90]))[1].startswith("Too few cells: 90")
    outside = [{**each, "out_of_domain": number < 50} for number, each in enumerate(many)]
    assert words(slide(outside))[1].startswith("25\N{NO-BREAK SPACE}% of the pictures are out of")
    drawn = slide(many)
    drawn.judged.card["drawn"] = True
    assert "drawn cells" in words(drawn)[1]


def test_a_table_shows_both_intervals_the_range_and_the_mark() -> None:
    rows = [row(f"{number}", "monocyte") for number in range(120)]
    table = slide_page.differential_table(slide(rows, validation=perfect(1000)))
    assert isinstance(table, Table)
    monocytes = [(cell.text, cell.small) for cell in table.rows[2]]
    assert monocytes[:2] == [("monocyte", ""), ("120", "")]
    assert monocytes[2] == ("100.0", "97.0–100.0") and monocytes[4:] == [
        ("2–8", ""),
        ("▲ high", ""),
    ]
    without = slide_page.differential_table(slide(rows))
    assert without.rows[2][3].text == "–"


def test_an_empty_slide_is_a_page_and_files_that_cannot_be_read_are_listed() -> None:
    one = slide([unreadable("a<b"), row("w", "monocyte", unlocated=True)])
    text = render(slide_page.build(shown(one, queue=("w",))))
    assert "No cell could be counted." in text and "a&lt;b" in text and "not an image" in text
    assert "python -m wbc review out" in text and "unlocated; monocyte 90" in text
