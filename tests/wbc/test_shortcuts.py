"""A tell-tale background is found, an honest classifier is not accused, and blank means blank."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from tests.wbc.pictures import CYTOPLASM, GLASS, NUCLEUS
from wbc import figures_why
from wbc.blanking import blanked, parts_of
from wbc.cells import CLASSES, read_table, write_table
from wbc.figures import save
from wbc.metrics import predictions_table
from wbc.pixels import PixelStore, allocate, finish, open_store, write_cells
from wbc.shortcuts import (
    VIEWS,
    ShortcutCheck,
    check,
    draw,
    judge,
    report_table,
    set_to_check,
    words,
)

SIZE = 96
TINTED = (214, 222, 240)  # the glass of another microscope
EACH = 20


def picture(label: int, glass: tuple[int, int, int]) -> np.ndarray:
    """A cell whose nucleus has a bar as wide as its class; red cells in the corners."""
    image = Image.new("RGB", (SIZE, SIZE), glass)
    draws = ImageDraw.Draw(image)
    for x, y in ((0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)):
        draws.ellipse((x - 12, y - 12, x + 12, y + 12), fill=(214, 150, 140))
    middle = SIZE // 2
    draws.ellipse((middle - 31, middle - 31, middle + 31, middle + 31), fill=CYTOPLASM)
    draws.ellipse((middle - 22, middle - 22, middle + 22, middle + 22), fill=NUCLEUS)
    draws.rectangle((middle - 6, middle - 2, middle - 6 + 2 * label, middle + 2), fill=(40, 10, 90))
    return np.asarray(image)


@dataclass(frozen=True)
class Reader:
    """Reads the bar; without a bar, or first of all if it cheats, it looks at the glass."""

    cheats: bool

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        answers = np.zeros((len(pixels), 5), np.float32)
        middle = SIZE // 2
        for row, square in enumerate(pixels.astype(int)):
            dark = square[middle, middle - 6 : middle + 6, 0] < 60
            label = round((dark.sum() - 1) / 2) if dark.any() else 0
            tinted = square[SIZE // 2, 2, 2] > square[SIZE // 2, 2, 0]
            answers[row, 4 if self.cheats and tinted else label] = 1
        return answers

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities.argmax(axis=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PixelStore:
    """Basophils come from another microscope, as Raabin's do."""
    folder = tmp_path_factory.mktemp("store")
    labels = np.repeat(np.arange(5), EACH)
    places = allocate(folder, len(labels), SIZE, 64)
    squares = (picture(int(k), TINTED if k == 4 else GLASS) for k in labels)
    write_cells(folder, zip(places, squares, strict=True))
    index = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(len(labels))],
            "label": [CLASSES[k] for k in labels],
            "group": "",
            "split": "test",
            "shard": [shard for shard, _ in places],
            "row": [row for _, row in places],
        }
    )
    finish(folder, index, {"size": SIZE, "crop": "cell", "context": 1.5})
    return open_store(folder)


def checked(store: PixelStore, cheats: bool) -> Any:
    reader: Any = Reader(cheats)
    part = store.part("test")
    given = reader.probabilities(part.read(list(range(len(part)))))
    rows = predictions_table(part.table, reader.decide(given), given)
    return check(reader, part, rows, num_per_class=15)


def test_a_tell_tale_background_is_found(store: PixelStore) -> None:
    result = checked(store, cheats=True)
    table = result.table.set_index("class")
    assert (table["plain"] == 1).all() and (table["num_cells"] == 15).all()
    assert list(table.index[table["warning"]]) == ["basophil"]
    assert table.loc["basophil", "cell_blanked"] == 1
    assert table.loc["basophil", "informedness"] == 1
    assert table.loc["basophil", "false_alarms"] == 0
    said = words(result)
    assert "Warning: the background alone decides about basophil" in said[1] and len(said) == 2
    assert "No class" not in said[0]


def test_an_honest_classifier_is_not_accused(store: PixelStore) -> None:
    """It answers every blank picture neutrophil, whose recall is then 1 by that alone."""
    result = checked(store, cheats=False)
    table = result.table.set_index("class")
    assert table.loc["neutrophil", "cell_blanked"] == 1
    assert table.loc["neutrophil", "informedness"] == 0
    assert set(table["background"]) == {"no"} and not table["warning"].any()
    assert (table["background_blanked"] == 1).all()
    (said,) = words(result)
    assert "cell blanked out, where a constant answer has 20.0\u00a0%. No class is told" in said


def test_the_table_is_read_back_as_it_was_written(store: PixelStore, tmp_path: Path) -> None:
    results = [checked(store, cheats=True), checked(store, cheats=False)]
    table = report_table(results)
    write_table(table, tmp_path / "shortcuts.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "shortcuts.csv"), table, check_dtype=False)
    assert list(table["in_words"][:3]) == [*words(results[0]), ""]
    pd.testing.assert_frame_equal(results[0].table, checked(store, cheats=True).table)


@pytest.mark.parametrize("context", [1.5, None])
def test_blank_means_blank(context: float | None) -> None:
    square = picture(2, GLASS)
    part = parts_of(square, context)
    assert part.found
    no_cell, no_background = (
        view[0] for view in blanked(square[None], [part], np.array([1.0, 2.0, 3.0]))
    )
    stained = (np.abs(square - np.array(CYTOPLASM)).sum(axis=2) == 0) | (square[..., 0] < 100)
    assert np.abs(no_cell[stained] - np.array(GLASS)).max() <= 2
    assert (no_cell[:4, :4] == square[:4, :4]).all()  # the red cell in the corner stays
    assert (np.abs(no_background[:9] - np.array([1, 2, 3])) <= 1).all()
    inner = slice(SIZE // 2 - 20, SIZE // 2 + 20)
    assert (no_background[inner, inner] == square[inner, inner]).all()


def test_another_leukocyte_is_no_background() -> None:
    square = picture(2, GLASS).copy()
    square[:14, 40:56] = NUCLEUS
    (no_cell, _) = blanked(square[None], [parts_of(square, 1.5)], np.zeros(3))
    assert np.abs(no_cell[0, :14, 40:56] - np.array(GLASS)).max() <= 2


def test_a_picture_without_a_cell_is_blanked_in_the_middle() -> None:
    part = parts_of(np.full((SIZE, SIZE, 3), 230, np.uint8), 1.5)
    assert not part.found
    assert part.disc[SIZE // 2, SIZE // 2] == 1 and part.disc[0, 0] == 0


def test_informedness_has_newcombes_interval() -> None:
    """Newcombe 1998, table II, method 10: 56/70 - 48/80 = 0.2, 0.0524 to 0.3339; and 10/10 - 0/10,
    0.6075 to 1."""
    for own, other, (low, high) in (
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
    ):
        labels = np.repeat([0, 1], [own[1], other[1]])
        called = np.concatenate([np.arange(own[1]) < own[0], np.arange(other[1]) < other[0]])
        decisions = np.where(called, 0, 1)
        row = judge(labels, dict.fromkeys(VIEWS, decisions)).iloc[0]
        assert row["informedness"] == pytest.approx(own[0] / own[1] - other[0] / other[1], abs=1e-6)
        assert row["informedness_low"] == pytest.approx(low, abs=6e-5)
        assert row["informedness_high"] == pytest.approx(high, abs=6e-5)


def test_recall_has_clopper_and_pearsons_interval() -> None:
    """Rümke's table: 5 of 100 is 1.6 to 11.3 %."""
    labels, decisions = np.zeros(100, np.int64), np.repeat([0, 1], [5, 95])
    row = judge(labels, dict.fromkeys(VIEWS, decisions)).iloc[0]
    assert (row["plain_low"], row["plain_high"]) == pytest.approx((0.016, 0.113), abs=5e-4)
    assert row["background"] == "no" and row["informedness"] == 0  # one class: nothing to tell


def test_the_draw_is_the_same_every_time_and_even() -> None:
    labels = np.repeat([0, 2, 4], [500, 7, 300])
    chosen = draw(labels, 100)
    assert list(np.bincount(labels[chosen])) == [100, 0, 7, 0, 100]
    assert (chosen == draw(labels, 100)).all() and (np.diff(chosen) > 0).all()
    assert chosen[99] > 100  # not simply the first ones


def test_the_set_is_a_test_where_there_is_one() -> None:
    assert set_to_check(["val", "test_a", "test_b", "krd-wbc"]) == "test_a"
    assert set_to_check(["val", "krd-wbc"]) == "val"


def test_rows_of_other_cells_are_refused(store: PixelStore) -> None:
    part = store.part("test")
    rows = predictions_table(part.table, part.labels, np.eye(5)[part.labels])
    with pytest.raises(ValueError, match="not of the same cells"):
        check(Reader(False), part, rows.iloc[::-1])  # type: ignore[arg-type]


def test_the_figure_says_what_was_found(store: PixelStore, tmp_path: Path) -> None:
    figure = figures_why.shortcuts(checked(store, cheats=True), "googlenet")
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any(text.startswith("BACKGROUND DECIDES: informedness 1.00 (0.") for text in said)
    save(figure, tmp_path / "a.png")
    save(figures_why.shortcuts(checked(store, cheats=True), "googlenet"), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_of_one_class_alone_nothing_can_be_told() -> None:
    labels = np.zeros(8, np.int64)
    table = judge(labels, dict.fromkeys(VIEWS, labels))
    (said,) = words(ShortcutCheck("test", table, 0.4, 0, np.zeros((1, 3, 4, 4, 3), np.uint8)))
    assert "cannot be told" in said and "No class" not in said
