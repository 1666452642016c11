"""Neighbours fade, the cell does not, and where there is no cell nothing happens."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.wbc.pictures import GLASS, encoded
from tests.wbc.test_localisation import RED_CELL, smear
from wbc.imaging import Framing, prepare
from wbc.light import NEUTRAL
from wbc.surroundings import FADE, MARGIN, Region, kept_around, mixed, share_kept

Picture = NDArray[np.uint8]
RED_CELLS = ((226, 160, 30), (90, 90, 30), (160, 250, 30))  # the first touches the cell


def square(picture: Picture, size: int, crop: str, surroundings: str, **more: str) -> Picture:
    framing = Framing(size, crop, 2.0, surroundings=surroundings, **more)
    return prepare(encoded(Image.fromarray(picture)), framing).pixels


def distances(size: int, scale: float) -> NDArray[np.float64]:
    """From the middle of a square, in units of the picture; `scale`: of its pixels."""
    y, x = (np.mgrid[:size, :size] + 0.5 - size / 2) * scale
    return np.hypot(y, x)


def test_the_cell_stays_and_its_neighbours_go() -> None:
    field = smear(red_cells=RED_CELLS)
    kept, found = (square(field, 160, "cell", choice) for choice in ("keep", "fade"))
    away = distances(160, 1.0)  # a cell of 80 pixels in a window of 160
    assert (found[away < 40] == kept[away < 40]).all()
    gone = away > 40 + 80 * (MARGIN + FADE) + 6
    assert (found[gone] == found[0, 0]).all()
    assert found[0, 0].astype(int) == pytest.approx(GLASS, abs=4)
    assert (np.abs(kept[gone].astype(int) - GLASS).max(axis=1) > 40).mean() > 0.1


def test_neutral_light_fades_to_neutral_glass() -> None:
    found = square(smear(), 96, "cell", "fade", light="neutral")
    assert (found[0] == NEUTRAL).all()


def test_whole_pictures_fade_as_well() -> None:
    field = smear(cell=(90, 220, 40), lobes=((90, 220, 26),), red_cells=((250, 60, 30),))
    kept, found = (square(field, 320, "none", choice) for choice in ("keep", "fade"))
    y, x = np.ogrid[:320, :320]
    near = (x - 90) ** 2 + (y - 220) ** 2 < 40**2
    assert (found[near] == kept[near]).all()
    assert np.ptp(found[:150, 170:], axis=(0, 1)).max() == 0


@pytest.mark.parametrize("crop", ["none", "cell"])
def test_without_a_cell_the_picture_stays(crop: str) -> None:
    field = smear(cell=None, lobes=())
    assert (square(field, 64, crop, "fade") == square(field, 64, crop, "keep")).all()
    framing = Framing(64, crop, 2.0, surroundings="fade")
    assert not prepare(encoded(Image.fromarray(field)), framing).located


def test_a_given_mask_says_what_the_cell_is() -> None:
    field = smear(red_cells=RED_CELLS)
    mask = np.zeros((320, 320), np.uint8)
    y, x = np.ogrid[:320, :320]
    mask[(x - 90) ** 2 + (y - 90) ** 2 < 30**2] = 255  # a red cell
    given = encoded(Image.fromarray(mask))
    framing = Framing(120, "mask", 2.0, surroundings="fade")
    found = prepare(encoded(Image.fromarray(field)), framing, given).pixels
    away = distances(120, 1.0)
    plain = prepare(encoded(Image.fromarray(field)), Framing(120, "mask", 2.0), given).pixels
    assert found[60, 60].astype(int) == pytest.approx(RED_CELL, abs=12)
    assert (found[away < 30] == plain[away < 30]).all()
    assert (found[away > 30 + 60 * (MARGIN + FADE) + 4] == found[0, 0]).all()


@pytest.mark.parametrize("fine", [1, 9])
def test_the_fading_has_no_edge(fine: int) -> None:
    """Along black surroundings no step is larger than the slope of the fading, at any scale."""
    y, x = np.ogrid[: 60 * fine, : 60 * fine]
    mask = (x - 30 * fine) ** 2 + (y - 30 * fine) ** 2 < (20 * fine) ** 2
    span = slice(100, 220)
    kept = kept_around(Region(mask, span, span))
    share = share_kept(kept, np.arange(320) + 0.5, np.arange(320) + 0.5)
    black, glass = np.zeros((320, 320, 3), np.uint8), np.full(3, 240, np.uint8)
    found = mixed(black, share, glass)[..., 0].astype(int)
    assert found[160, 160] == 0 and found[0, 0] == 240
    slope = 240 * 1.5 / (FADE * 80)  # of a smooth step over 12 pixels
    for axis in (0, 1):
        assert np.abs(np.diff(found, axis=axis)).max() <= 1.3 * slope + 1
    assert (found[:, ::-1] == found).mean() > 0.95  # and lies around the mask's middle


def test_a_cell_at_the_border_fades_inwards_only() -> None:
    field = smear(cell=(10, 160, 40), lobes=((10, 160, 26),), red_cells=((120, 160, 30),))
    found = square(field, 160, "cell", "fade")
    kept = square(field, 160, "cell", "keep")
    violet = kept[..., 1] < 100
    assert violet.sum() > 500
    assert (found[violet] == kept[violet]).all()


def test_mixing_is_exact_at_both_ends() -> None:
    square = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    glass = np.array([255, 0, 240], np.uint8)
    share = np.ones((9, 9), np.float32)
    assert (mixed(square, share, glass) == square).all()
    assert (mixed(square, 0 * share, glass) == glass).all()
    expected = (square.astype(int) + glass + 1) // 2
    assert (mixed(square, share / 2, glass) == expected).all()
