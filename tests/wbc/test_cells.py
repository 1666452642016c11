"""The tables that name cells: what is written comes back."""

from pathlib import Path

import pandas as pd

from wbc.cells import COLUMNS, read_table, write_table


def test_names_of_digits_stay_names(tmp_path: Path) -> None:
    text = {name: ["007", "2023"] for name in (*COLUMNS, "split", "set")}
    table = pd.DataFrame({**text, "width": [7, 0], "height": [7, 0], "score": [0.5, 1.0]})
    write_table(table, tmp_path / "cells.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "cells.csv"), table)
