"""Figures of cells' pictures: what is written, and that nothing lies on or beside anything else."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from tests.wbc.decisions import predictions
from wbc.cells import CLASSES
from wbc.figures import save
from wbc.figures_cells import mistakes


def texts(figure: Figure) -> list[str]:
    """Everything written in a figure, its headline last."""
    return [*(text.get_text() for text in figure.axes[0].texts), figure.get_suptitle()]


def boxes(figure: Figure) -> list[Bbox]:
    """What every text and picture takes, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.axes[0]
    heading = figure._suptitle  # type: ignore[attr-defined]
    return [one.get_window_extent(renderer) for one in (*axes.texts, *axes.images, heading)]


def test_contact_sheet_names_truth_decision_and_probability() -> None:
    table = predictions([0, 4], [1, 3], [0.875, 0.4])
    table.loc[1, "path"] = "raabin/basophil/20190526_162951_0_crop.jpg"
    pixels = np.zeros((2, 16, 16, 3), dtype=np.uint8)
    figure = mistakes(pixels, table, 12, "val", "googlenet")
    written = texts(figure)
    assert "neutrophil →\nlymphocyte 88%" in written and "basophil →\neosinophil 40%" in written
    assert "0.png" in written and "20190526_1…0_crop.jpg" in written
    assert "12 wrong, 2 shown, of each type the surest" in written[-1].replace("\n", " ")
    first, second = (image.get_extent() for image in figure.axes[0].images)
    assert first[1] < second[0]  # inches: beside each other
    with pytest.raises(ValueError):
        mistakes(pixels[:1], table, 12, "val", "googlenet")


def test_contact_sheet_without_mistakes(tmp_path: Path) -> None:
    none = predictions([0], [0], [1.0]).iloc[:0]
    figure = mistakes(np.zeros((0, 8, 8, 3), np.uint8), none, 0, "val", "googlenet")
    assert "every cell of this set was named right" in figure.get_suptitle()
    save(figure, tmp_path / "none.png")


def test_a_file_name_is_no_formula(tmp_path: Path) -> None:
    wrong = predictions([0], [1], [0.9]).assign(path=r"x$\foo$.png")
    figure = mistakes(np.zeros((1, 8, 8, 3), np.uint8), wrong, 1, "val", "googlenet")
    save(figure, tmp_path / "one.png")


@pytest.mark.parametrize("model", ["googlenet", "a model whose name takes more than a line " * 3])
def test_nothing_overlaps_or_is_cut_off(model: str) -> None:
    labels = [place % 5 for place in range(14)]
    table = predictions(labels, [(label + 1) % 5 for label in labels], [0.999] * 14)
    table["path"] = "raabin/basophil/20190526_162951_0_crop.jpg"
    figure = mistakes(np.zeros((14, 8, 8, 3), np.uint8), table, 14, "test_a", model)
    found = boxes(figure)
    assert len(found) == 3 * 14 + 1 and set(table["label"]) == set(CLASSES)
    right, top = figure.bbox.max
    for number, one in enumerate(found):
        assert one.x0 >= 0 and one.y0 >= 0 and one.x1 <= right and one.y1 <= top
        assert not any(one.overlaps(other) for other in found[:number])
