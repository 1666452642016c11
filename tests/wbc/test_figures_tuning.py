"""The tuning's figure shows every strength and marks the one that was kept."""

import pandas as pd

from wbc.figures_tuning import tuning


def test_the_kept_strength_is_marked() -> None:
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "C": [0.01, 0.1, 1.0],
            "cv/macro_f1": [0.8, 0.89, 0.9],
            "cv/standard_error": [0.02, 0.02, 0.02],
            "val/macro_f1": [0.7, 0.9, 0.8],
        }
    )
    figure = tuning(history, 2, "classical")
    [axes] = figure.axes
    assert list(axes.lines[0].get_ydata()) == [0.8, 0.89, 0.9]
    assert list(axes.lines[1].get_ydata()) == [0.7, 0.9, 0.8]
    assert [line.get_xdata()[0] for line in axes.lines[2:]] == [0.1, 0.1]
    assert "C = 0.1" in figure.get_suptitle()
