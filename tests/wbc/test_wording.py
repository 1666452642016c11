"""Numbers in words."""

from wbc.wording import cells, p_value, percent, signed


def test_numbers_are_written_for_people() -> None:
    assert percent(0.5551).split() == ["55.5", "%"] and percent(0.56, 0).split() == ["56", "%"]
    assert [signed(x, 1) for x in (1.26, -1.24, -0.01)] == ["+1.3", "−1.2", "+0.0"]
    assert " ".join(p_value(0.0004).split()) == "p below 0.001"
    assert [" ".join(p_value(p).split()) for p in (0.001, 1)] == ["p 0.001", "p 1.000"]
    assert [" ".join(cells(n).split()) for n in (0, 1, 1200)] == [
        "0 cells",
        "1 cell",
        "1,200 cells",
    ]
