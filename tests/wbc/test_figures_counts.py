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


def test_reference_ranges_are_a_band_of_their_own() -> None:
    counted = counts.differential(table([50, 30, 10, 5, 5]), None)
    plain = differential(counted, "slide 7", "net")
    ranged = differential(counted.assign(range_low=2.0, range_high=8.0), "slide 7", "net")
    bars = [patch for patch in ranged.axes[0].patches if patch.get_width() == 6]
    assert len(bars) == 5 and all(bar.get_x() == 2 for bar in bars)
    assert "reference range" in texts(ranged) and "reference range" not in texts(plain)
