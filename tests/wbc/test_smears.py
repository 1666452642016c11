"""Smears are numbered by laboratory and name, and drawn with weights that lose none."""

import numpy as np
import pandas as pd

from wbc import smears


def test_a_smear_is_a_group_of_one_source() -> None:
    index = pd.DataFrame({"source": ["x", "y", "x"], "group": ["1", "1", "1"]})
    predictions = pd.DataFrame({"path": ["x/a.png", "y/a.png", "x/b.png"], "group": "1"})
    for cells in (index, predictions):
        assert smears.names_of(cells) == ["x/1", "y/1", "x/1"]
        found = smears.smears_of(cells)
        assert found is not None and found.tolist() == [0, 1, 0]


def test_they_are_known_only_where_every_cell_has_one() -> None:
    cells = pd.DataFrame({"path": ["a.png", "b.png"], "group": ["1", ""]})
    assert smears.names_of(cells) == ["/1", ""]
    assert smears.smears_of(cells) is None
    assert smears.number_of(None) == 0


def test_one_smear_is_none_to_draw_from() -> None:
    assert smears.several(np.array([0, 0])) is None
    found = smears.several(np.array([0, 1]))
    assert found is not None and smears.number_of(found) == 2


def test_weights_are_one_on_average_and_lose_no_smear() -> None:
    drawn = smears.weights(np.random.default_rng(0), 500, 6)
    assert drawn.shape == (500, 6) and (drawn > 0).all()
    assert np.allclose(drawn.mean(axis=1), 1)
