"""wbc.fields: every leukocyte of drawn fields once, with the window it would have alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.wbc import pictures
from tests.wbc.test_localisation import (
    CYTOPLASM,
    GLASS,
    NUCLEUS,
    RED_CELL,
    overlap,
    platelet,
    smear,
)
from wbc import fields
from wbc.fields import AROUND, LARGEST, box_of, outlines, place_of
from wbc.imaging import Framing, UnreadableImage, prepare
from wbc.localisation import locate
from wbc.staining import reduced

Disc = tuple[float, float, float]
LOBES = ((-18, -12, 12), (16, -14, 12), (0, 18, 12))  # of one neutrophil, about its middle


def field(
    cells: list[tuple[float, float]], width: int = 640, height: int = 480, platelets: int = 0
) -> NDArray[np.uint8]:
    """Cells of radius 40 with three lobes each among red cells of radius 23."""
    from PIL import Image, ImageDraw, ImageFilter

    picture = Image.new("RGB", (width, height), GLASS)
    draw = ImageDraw.Draw(picture)

    def disc(x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    for x in range(28, width, 56):
        for y in range(28, height, 56):
            if all((x - a) ** 2 + (y - b) ** 2 > 67**2 for a, b in cells):
                disc(x, y, 23, RED_CELL)
    for number in range(platelets):
        disc(56 + 56 * number, 56, 6, NUCLEUS)
    for x, y in cells:
        disc(x, y, 40, CYTOPLASM)
        for dx, dy, radius in LOBES:
            disc(x + dx, y + dy, radius, NUCLEUS)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(1.2)))


def check(image: NDArray[np.uint8], cells: list[tuple[float, float]], radius: float = 40) -> None:
    found = [box_of(cell) for cell in outlines(image)]
    assert len(found) == len(cells)
    for x, y in cells:
        assert max(overlap(box, x, y, radius) for box in found) > 0.75


def test_all_cells_are_found_once_and_platelets_are_not() -> None:
    cells = [(120.0, 130.0), (330.0, 90.0), (520.0, 240.0), (200.0, 330.0), (420.0, 400.0)]
    check(field(cells, platelets=6), cells)


def test_a_platelet_in_the_middle_is_not_taken_for_the_only_cell() -> None:
    image = field([(60.0, 60.0)]).copy()
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(columns - 320) ** 2 + (rows - 240) ** 2 < 12**2] = NUCLEUS
    check(image, [(60.0, 60.0)])


def test_small_cells_in_a_large_field_are_found() -> None:
    cells = [(300.0, 300.0), (1500.0, 260.0), (900.0, 1000.0)]
    check(field(cells, 1800, 1200, platelets=9), cells)


def test_touching_cells_are_two_and_lobes_one() -> None:
    cells = [(250.0, 240.0), (330.0, 240.0)]
    check(field(cells), cells)


@pytest.mark.parametrize("side", [0.5, 1.0, 3.0])
def test_one_cell_has_the_window_that_it_has_alone(side: float) -> None:
    for x, y in ((160, 160), (60, 230)):
        image = smear(scale=side, cell=(x, y, 40), lobes=((x, y, 26),))
        (found,) = outlines(image)
        assert box_of(found) == locate(image)


def test_one_cell_has_the_pixels_that_it_has_alone() -> None:
    framing = Framing(64, "cell", 1.5)
    data = pictures.encoded(pictures.cell(300, 200, 180, 110))
    _, (cell,) = fields.prepare_field(data, framing)
    assert np.array_equal(cell.pixels, prepare(data, framing).pixels)


def test_every_cell_is_framed_like_a_picture_of_its_own() -> None:
    cells = [(120.0, 130.0), (520.0, 240.0)]
    image = field(cells)
    from PIL import Image

    framing = Framing(64, "cell", 1.5)
    _, found = fields.prepare_field(pictures.encoded(Image.fromarray(image)), framing)
    for (x, y), cell in zip(cells, found, strict=True):
        part = image[int(y) - 110 : int(y) + 110, int(x) - 110 : int(x) + 110]
        alone = prepare(pictures.encoded(Image.fromarray(part)), framing).pixels
        assert np.abs(cell.pixels.astype(int) - alone).mean() < 6


@pytest.mark.parametrize(
    "image",
    [field([], platelets=7), field([]), smear(cell=None, lobes=()), platelet(),
     np.full((50, 60, 3), 255, np.uint8), np.zeros((1, 1, 3), np.uint8)],
    ids=["platelets", "red cells", "few red cells", "a platelet", "white", "one pixel"],
)  # fmt: skip
def test_no_leukocyte_gives_an_empty_list(image: NDArray[np.uint8]) -> None:
    assert outlines(image) == []


def test_a_cell_cut_by_the_border_says_so() -> None:
    image = field([(10.0, 240.0), (320.0, 240.0)])
    places = [place_of(cell, image.shape) for cell in outlines(image)]
    assert sorted((place.cut, place.x == 0) for place in places) == [(False, False), (True, True)]
    for place in places:
        assert place.x >= 0 and place.x + place.width <= 640
        assert place.y >= 0 and place.y + place.height <= 480


def test_red_cells_are_the_ruler() -> None:
    from wbc.localisation import look

    small = reduced(field([(320.0, 240.0)]))
    seen = look(small)
    assert seen is not None
    expected = np.pi * (23 * small.shape[1] / 640) ** 2
    assert fields.red_cell_area(seen) == pytest.approx(expected, rel=0.2)


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(UnreadableImage, match="not an image"):
        fields.prepare_field(b"text", Framing(64, "cell", 1.5))


def test_what_is_kept_of_a_close_up_is_no_larger_than_what_training_takes() -> None:
    from PIL import Image

    image = smear(scale=4, cell=(160, 120, 110), lobes=((160, 120, 70),))
    data, framing = pictures.encoded(Image.fromarray(image)), Framing(64, "cell", 1.5)
    _, (cell,) = fields.prepare_field(data, framing, around=True)
    wide = AROUND * max(cell.place.width, cell.place.height)
    assert wide > 2 * LARGEST and cell.around is not None
    side = cell.around.shape[0]
    assert cell.around.shape == (side, side, 3) and LARGEST / 2 < side <= LARGEST
    again = prepare(pictures.encoded(Image.fromarray(cell.around)), framing)
    assert again.located and np.abs(again.pixels.astype(int) - cell.pixels).mean() < 3
    _, (cell,) = fields.prepare_field(data, framing)
    assert cell.around is None
