"""Two models on one slide."""

import pytest

from tests.wbc.slides.cases import judged, row, unreadable
from wbc.slides import ranges
from wbc.slides.agreement import agreement
from wbc.slides.tally import slide_of


def test_cells_that_both_could_read_are_compared_the_surest_disagreement_first() -> None:
    first = judged([row("a", "monocyte"), row("b", "monocyte", 0.6), row("c", "basophil"),
                    row("d", "basophil", 0.95), unreadable("e")], "one")  # fmt: skip
    second = judged(
        [
            row("a", "monocyte", 0.4, uncertain=True),
            row("b", "lymphocyte"),
            row("d", "eosinophil", 0.8),
            row("e", "monocyte"),
            unreadable("c"),
        ],
        "two",
    )
    slides = [slide_of("s", each, each.rows, {}, ranges.read(), {}) for each in (first, second)]
    found = agreement(*slides)
    assert found.num_both == 3 and found.share == pytest.approx(1 / 3)
    assert list(found.differing.index) == ["d", "b"]
    assert dict(found.differing.loc["b"]) == {
        "first": "monocyte", "p_first": 0.6, "second": "lymphocyte", "p_second": 0.9,
    }  # fmt: skip
