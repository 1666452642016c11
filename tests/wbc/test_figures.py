"""What the figures say, and that their bytes depend on the numbers only."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tests.wbc.decisions import predictions
from wbc.figures import confusion_matrix, recall_bars, save, training_history
from wbc.figures_cells import mistakes
from wbc.intervals import Judged
from wbc.scoring import set_scores

TWO_CLASSES = np.array(
    [[1183, 100, 0, 17, 0], [32, 430, 1, 0, 0], [0] * 5, [0] * 5, [0] * 5], dtype=np.int64
)


def texts(figure: Figure) -> list[str]:
    """Everything written in a figure."""
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    found += [axes.get_title() for axes in figure.axes]
    found += [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    found += [label.get_text() for axes in figure.axes for label in axes.get_xticklabels()]
    found += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [*found, figure.get_suptitle()]


@pytest.fixture
def history() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4],
            "phase": ["head", "head", "upper", "upper"],
            "train/loss": [1.5, 1.0, 0.6, 0.4],
            "val/loss": [1.4, 1.1, 0.8, 0.9],
            "val/macro_f1": [0.2, 0.5, 0.875, 0.8],
            "val/balanced_accuracy": [0.25, 0.5, 0.8, 0.85],
        }
    )


def scored(labels: list[int], decisions: list[int]) -> dict[str, Any]:
    even = np.full((len(labels), 5), 0.2)
    judged = Judged(np.array(labels), np.array(decisions), even, even)
    return set_scores(judged, pd.DataFrame({"group": [""] * len(labels)}))


def test_confusion_of_a_set_that_lacks_classes() -> None:
    written = texts(confusion_matrix(TWO_CLASSES, "test_b", "googlenet"))
    assert "1,183\n91.0%" in written and "430\n92.9%" in written
    assert "neutrophil\n1,300 cells" in written
    assert not any(text.startswith("monocyte\n0") for text in written)
    assert "monocyte\n(none here)" in written and "lymphocyte" in written
    assert written[-1].startswith("Test-B: ") and "1,763 cells" in written[-1]


def test_confusion_of_a_single_cell() -> None:
    counts = np.zeros((5, 5), dtype=np.int64)
    counts[3, 1] = 1
    written = texts(confusion_matrix(counts, "elsewhere", "googlenet"))
    assert "eosinophil\n1 cell" in written and "1\n100.0%" in written
    assert written[-1].startswith("Other laboratory elsewhere: ")


def test_history_marks_phases_and_the_kept_epoch(history: pd.DataFrame) -> None:
    figure = training_history(history, 3, "googlenet")
    written = texts(figure)
    assert "new head only" in written and "upper layers" in written
    assert "epoch 3 (dotted), macro-F1 0.875" in written[-1]
    upright = {
        line.get_xdata()[0]
        for line in figure.axes[0].lines
        if len(set(line.get_xdata())) == 1  # type: ignore[arg-type]
    }
    assert upright == {2.5, 3}  # the phases' boundary and the kept epoch


def test_history_of_one_epoch(history: pd.DataFrame) -> None:
    assert "upper layers" not in texts(training_history(history.iloc[:1], 1, "googlenet"))


def test_recall_bars_tell_none_from_nothing_found() -> None:
    figure = recall_bars({"val": scored([0, 0, 1], [0, 2, 2]), "lab": scored([4], [4])}, "resnet18")
    written = texts(figure)
    assert "50.0% (1% to 99%) of 2" in written  # Clopper and Pearson's
    assert "0.0% (0% to 98%) of 1" in written and "100.0% (3% to 100%) of 1" in written
    assert written.count("none in this set") == 3 + 4
    assert "Validation set, 3 cells" in written and "Other laboratory lab, 1 cell" in written


def draw_all(folder: Path, history: pd.DataFrame) -> dict[str, bytes]:
    save(confusion_matrix(TWO_CLASSES, "val", "googlenet"), folder / "confusion.png")
    save(training_history(history, 3, "googlenet"), folder / "history.png")
    save(recall_bars({"val": scored([0, 1], [0, 2])}, "googlenet"), folder / "recall.png")
    pixels = np.arange(2 * 16 * 16 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 16, 16, 3)
    wrong = predictions([0, 4], [1, 3], [0.875, 0.4])
    save(mistakes(pixels, wrong, 2, "val", "googlenet"), folder / "mistakes.png")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_bytes_depend_on_the_numbers_only(tmp_path: Path, history: pd.DataFrame) -> None:
    first = draw_all(tmp_path / "first", history)
    with matplotlib.rc_context(
        {"font.size": 20, "savefig.bbox": "tight", "font.sans-serif": ["DejaVu Serif"]}
    ):
        second = draw_all(tmp_path / "second", history)
        assert matplotlib.rcParams["font.size"] == 20  # and the caller's settings come back
    assert first == second
    assert len(first) == 4
    for name in first:
        with Image.open(tmp_path / "first" / name) as image:
            assert set(image.info) <= {"dpi"}  # neither software nor date
