"""The tables that name cells: what is written comes back."""

from pathlib import Path

import pandas as pd
import pytest

from wbc.cells import COLUMNS, read_table, write_table
from wbc.errors import UserError


def test_names_of_digits_stay_names(tmp_path: Path) -> None:
    text = {name: ["007", "2023"] for name in (*COLUMNS, "split", "set")}
    table = pd.DataFrame({**text, "width": [7, 0], "height": [7, 0], "score": [0.5, 1.0]})
    write_table(table, tmp_path / "cells.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "cells.csv"), table)


def test_a_table_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    """Where the cut is within the last field, it still reads as a table."""
    path = tmp_path / "cells.csv"
    write_table(pd.DataFrame({"path": ["a.png", "b.png"], "score": [0.5, 0.25]}), path)
    assert len(read_table(path)) == 2
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(
        UserError, match=r"cells\.csv should be a table .* but is cut off: .*checkout"
    ):
        read_table(path)
