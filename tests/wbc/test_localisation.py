"""Cells drawn here: discs in the colours of a Giemsa smear, no outside data."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from wbc import localisation, staining
from wbc.localisation import Box, locate
from wbc.staining import background_colour

GLASS = (240, 228, 214)
RED_CELL = (206, 148, 156)  # somewhat violet, as some laboratories have them
CYTOPLASM = (206, 172, 204)
NUCLEUS = (96, 48, 140)
Disc = tuple[float, float, float]  # x, y, radius


def smear(
    side: int = 320,
    cell: Disc | None = (160, 160, 40),
    lobes: Sequence[Disc] = ((160, 160, 26),),
    red_cells: Sequence[Disc] = ((60, 70, 30), (250, 80, 30), (70, 250, 30), (260, 260, 30)),
    scale: float = 1.0,
) -> NDArray[np.uint8]:
    """A drawn field; all lengths are multiplied by `scale`."""
    picture = Image.new("RGB", (round(side * scale),) * 2, GLASS)
    draw = ImageDraw.Draw(picture)
    discs = [(disc, RED_CELL) for disc in red_cells]
    discs += [(cell, CYTOPLASM)] if cell else []
    discs += [(lobe, NUCLEUS) for lobe in lobes]
    for (x, y, radius), colour in discs:
        edges = [scale * edge for edge in (x - radius, y - radius, x + radius, y + radius)]
        draw.ellipse(edges, fill=colour)
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.004 * side * scale)))
    noise = np.random.default_rng(1).normal(0, 3, blurred.shape)
    return (blurred + noise).clip(0, 255).astype(np.uint8)


def platelet() -> NDArray[np.uint8]:
    """Glass with one dark violet spot that is too small for a nucleus."""
    field = smear(cell=None, lobes=())
    y, x = np.ogrid[:320, :320]
    field[(x - 160) ** 2 + (y - 160) ** 2 < 3.5**2] = (40, 5, 120)
    return field


def overlap(box: Box | None, x: float, y: float, radius: float) -> float:
    """Intersection over union with the square around a disc; 0 for no box."""
    if box is None:
        return 0.0
    width = max(0.0, min(box.right, x + radius) - max(box.left, x - radius))
    height = max(0.0, min(box.bottom, y + radius) - max(box.top, y - radius))
    common = width * height
    return common / (box.width * box.height + 4 * radius**2 - common)


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0, 2.0, 4.0])
def test_the_whole_cell_is_found_at_every_magnification(scale: float) -> None:
    box = locate(smear(scale=scale))
    assert overlap(box, 160 * scale, 160 * scale, 40 * scale) > 0.85


@pytest.mark.parametrize("radius", [12, 25, 60, 100])
def test_the_whole_cell_is_found_at_every_size_in_the_field(radius: float) -> None:
    red_cells = ((20, 20, 0.75 * radius), (300, 300, 0.75 * radius))
    field = smear(cell=(160, 160, radius), lobes=((160, 160, 0.65 * radius),), red_cells=red_cells)
    assert overlap(locate(field), 160, 160, radius) > 0.8


@pytest.mark.parametrize("x, y", [(60, 60), (250, 70), (160, 270), (45, 160)])
def test_the_cell_is_found_wherever_it_lies(x: float, y: float) -> None:
    field = smear(cell=(x, y, 40), lobes=((x + 8, y, 26),), red_cells=((150, 150, 30),))
    assert overlap(locate(field), x, y, 40) > 0.85


@pytest.mark.parametrize(
    "gains", [(1, 1, 1), (0.5, 0.5, 0.5), (1.0, 0.95, 0.7), (0.8, 0.9, 1.05), (0.7, 1.0, 0.9)]
)
def test_lamp_and_exposure_do_not_matter(gains: tuple[float, float, float]) -> None:
    field = (smear() * np.array(gains)).clip(0, 255).astype(np.uint8)
    assert overlap(locate(field), 160, 160, 40) > 0.85


def test_the_lobes_of_one_nucleus_are_one_cell() -> None:
    field = smear(lobes=((138, 150, 13), (180, 150, 13), (160, 183, 13)))
    assert overlap(locate(field), 160, 160, 40) > 0.85


def test_a_nucleus_at_the_rim_of_its_cell_gives_the_whole_cell() -> None:
    field = smear(lobes=((178, 160, 22),))
    assert overlap(locate(field), 160, 160, 40) > 0.85


def faded(field: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """The field with all optical densities over the glass at `share` of what they are."""
    light = field / np.array(GLASS)
    return np.asarray((np.array(GLASS) * light.clip(0.01, 1) ** share).round(), dtype=np.uint8)


def test_a_pale_cell_is_found_and_pale_violet_red_cells_are_not() -> None:
    contrast = localisation._nuclear_threshold
    pale = faded(smear(cell=(90, 200, 40), lobes=((90, 200, 26),)), 0.18)
    small = staining.reduced(pale)
    stain = staining.absorbed(small, background_colour(small), 1.0)
    assert localisation.MIN_CONTRAST < contrast(stain.violet)[1] < localisation.CLEAR_CONTRAST
    assert overlap(locate(pale), 90, 200, 40) > 0.7
    lobed = smear(lobes=((140, 150, 12), (165, 140, 12), (180, 165, 12), (155, 182, 12)))
    assert overlap(locate(faded(lobed, 0.18)), 160, 160, 40) > 0.7
    discs = [(x, y, 26.0) for x in (60.0, 116.0, 172.0) for y in (70.0, 126.0, 250.0)]
    assert locate(faded(smear(cell=None, lobes=discs), 0.18)) is None


def test_touching_red_cells_are_left_out() -> None:
    field = smear(red_cells=((226, 160, 30), (160, 94, 30), (60, 250, 30)))
    assert overlap(locate(field), 160, 160, 40) > 0.8


def test_touching_cells_of_nearly_the_same_hue_are_left_out() -> None:
    """Colour alone lets them in; the shape of all together is no cell's."""
    field = smear(cell=(160, 160, 36))
    y, x = np.ogrid[:320, :320]
    field[((x - 212) ** 2 + (y - 160) ** 2 < 20**2) & (x > 195)] = (196, 150, 170)
    field[((x - 160) ** 2 + (y - 212) ** 2 < 20**2) & (y > 195)] = (196, 150, 170)
    assert overlap(locate(field), 160, 160, 36) > 0.85


def test_a_cell_that_fills_the_picture_is_found() -> None:
    field = smear(side=90, cell=(45, 45, 42), lobes=((45, 45, 30),), red_cells=())
    assert overlap(locate(field), 45, 45, 42) > 0.85


def test_a_cell_cut_by_the_border_ends_there() -> None:
    box = locate(smear(cell=(10, 160, 40), lobes=((10, 160, 26),)))
    assert box is not None
    assert box.left == 0
    assert box.right == pytest.approx(50, abs=5)


def test_of_two_alike_the_central_one_is_taken() -> None:
    field = smear(
        cell=(160, 160, 40), lobes=((160, 160, 26), (285, 160, 31)), red_cells=((60, 70, 30),)
    )
    assert overlap(locate(field), 160, 160, 40) > 0.8


def test_a_platelet_in_the_middle_does_not_win_over_the_cell() -> None:
    field = smear(cell=(60, 240, 40), lobes=((60, 240, 26), (160, 160, 7)))
    assert overlap(locate(field), 60, 240, 40) > 0.85


def test_a_close_neighbour_stays_outside() -> None:
    """Its nucleus lies within reach of the cell's own cytoplasm."""
    field = smear(lobes=((160, 160, 30), (231, 160, 20)), red_cells=((60, 70, 30),))
    assert overlap(locate(field), 160, 160, 40) > 0.85


@pytest.mark.parametrize(
    "field",
    [
        smear(cell=None, lobes=()),
        smear(cell=None, lobes=(), red_cells=()),
        platelet(),
        np.zeros((50, 60, 3), np.uint8),
        np.full((50, 60, 3), 255, np.uint8),
        np.full((1, 1, 3), 128, np.uint8),
        np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 256, 1), 40, 0).repeat(3, 2),
    ],
    ids=["red cells", "glass", "a platelet", "black", "white", "one pixel", "grey ramp"],
)
def test_no_leukocyte_gives_none(field: NDArray[np.uint8]) -> None:
    assert locate(field) is None


@pytest.mark.parametrize("shape", [(1, 300, 3), (300, 1, 3), (2, 2, 3), (7, 900, 3)])
def test_noise_of_any_shape_gives_none_or_a_box_inside(shape: tuple[int, int, int]) -> None:
    box = locate(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    if box is not None:
        assert 0 <= box.left < box.right <= shape[1]
        assert 0 <= box.top < box.bottom <= shape[0]


def test_noise_in_black_corners_is_no_cell() -> None:
    """A round field of view on a faint smear: in black, only noise has colour."""
    faint = (smear(cell=(130, 190, 30), lobes=((130, 190, 18),)) + np.array(GLASS)) / 2
    field = faint.astype(np.uint8)
    noise = np.random.default_rng(2).integers(0, 9, (20, 20, 3), dtype=np.uint8)
    y, x = np.ogrid[:320, :320]
    outside = (x - 160) ** 2 + (y - 160) ** 2 > 150**2
    field[outside] = np.asarray(Image.fromarray(noise).resize((320, 320)))[outside]
    assert overlap(locate(field), 130, 190, 30) > 0.8


def test_the_background_is_the_glass() -> None:
    assert background_colour(smear()) == pytest.approx(GLASS, abs=4)


def test_the_answer_is_always_the_same() -> None:
    assert locate(smear()) == locate(smear())


@pytest.mark.parametrize("size", [1, 2, 3, 20, 101, 144 * 144])
def test_counting_gives_numpys_quantiles(size: int) -> None:
    values = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    for share in (0.5, 0.85):
        assert staining._quantile(values, share) == pytest.approx(np.quantile(values, share))
