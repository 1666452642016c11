"""Masks of drawn cells whose areas are known."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.wbc.pictures import CYTOPLASM, GLASS, NUCLEUS
from wbc.handmade.segmentation import SIDE, segment

Circle = tuple[float, float, float]  # x, y, radius in pixels of a square of 224


def drawn(cell: Circle, lobes: list[Circle], side: int = 224) -> np.ndarray:
    """A cell with a nucleus of round lobes on glass, drawn large and reduced."""
    picture = Image.new("RGB", (448, 448), GLASS)
    draw = ImageDraw.Draw(picture)
    for colour, circles in ((CYTOPLASM, [cell]), (NUCLEUS, lobes)):
        for x, y, radius in circles:
            box = [2 * (x - radius), 2 * (y - radius), 2 * (x + radius), 2 * (y + radius)]
            draw.ellipse(box, fill=colour)
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))


ROUND = drawn((112, 112, 72), [(104, 112, 44)])


@pytest.mark.parametrize("side", [96, 128, 224])
def test_areas_are_those_that_were_drawn_at_any_size(side: int) -> None:
    found = segment(drawn((112, 112, 72), [(104, 112, 44)], side))
    assert found.found and found.pixels.shape == (SIDE, SIDE, 3)
    assert found.cell.mean() == pytest.approx(math.pi * 72**2 / 224**2, rel=0.05)
    assert found.nucleus.mean() == pytest.approx(math.pi * 44**2 / 224**2, rel=0.06)
    assert not (found.nucleus & ~found.cell).any()
    assert (found.cytoplasm | found.nucleus).sum() == found.cell.sum()


def test_an_even_cell_is_all_nucleus() -> None:
    found = segment(drawn((112, 112, 60), [(112, 112, 60)]))
    assert found.nucleus.sum() >= 0.85 * found.cell.sum()  # its edge is soft


def test_granules_are_no_lobes_and_vacuoles_no_holes() -> None:
    picture = ROUND.copy()
    picture[110:114, 158:162] = NUCLEUS
    picture[110:114, 102:106] = GLASS
    plain, spotted = segment(ROUND), segment(picture)
    assert spotted.nucleus.sum() == pytest.approx(plain.nucleus.sum(), rel=0.03)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_without_a_cell_a_disc_stands_in(value: int) -> None:
    found = segment(np.full((64, 64, 3), value, np.uint8))
    assert not found.found
    assert found.cell.mean() == pytest.approx(math.pi / 4 / 1.5**2, rel=0.02)
    assert found.nucleus.any()
