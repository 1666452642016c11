"""What the differential's figure says."""

from pathlib import Path

import pandas as pd

from tests.wbc.test_counts import PERFECT, table
from tests.wbc.test_figures import texts
from wbc import counts
from wbc.figures import save
from wbc.figures_counts import differential


def test_a_labelled_set_shows_truth_count_and_adjusted_count(tmp_path: Path) -> None:
    rows = [table([60, 20, 10, 8, 2]).assign(set=name) for name in ("val", "elsewhere")]
    found = counts.counts_table(pd.concat(rows))
    figure = differential(
        found[found["set"] == "elsewhere"].reset_index(drop=True), "elsewhere", "m"
    )
    written = texts(figure)
    assert {"true", "counted, with Rümke's interval"} <= set(written)
    assert "adjusted for the errors known from validation" in written
    assert "60.0 (49.7–69.7)" in written and "neutrophil\ntruth: 60.0" in written
    assert "few cells: 100" in written[-1] and "as if errors" in written[-1]
    save(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    validation = texts(differential(found[found["set"] == "val"], "val", "m"))
    assert "adjusted for the errors known from validation" not in validation


def test_a_slide_without_labels_shows_no_truth() -> None:
    found = counts.differential(table([60, 20, 10, 8, 2]), PERFECT)
    written = texts(differential(found, "slide 7", "m"))
    assert "true" not in written and written[-1].startswith("slide 7: ")
