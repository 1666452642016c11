"""Bare glass becomes neutral whatever the lamp, and pictures without glass keep their colours."""

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.wbc.pictures import encoded
from tests.wbc.test_localisation import smear
from wbc.imaging import Framing, prepare
from wbc.light import NEUTRAL, light_of, neutralised
from wbc.sources.drawing import draw, smear_look
from wbc.sources.sample import FIRST_MICROSCOPE
from wbc.staining import reduced

Picture = NDArray[np.uint8]
SIDE = 320
LAMPS = {
    "dim": (0.6, 0.6, 0.6),
    "yellow": (1.0, 0.92, 0.65),
    "blue": (0.8, 0.88, 1.0),
}
ACROSS = np.linspace(0, 1, SIDE)
ROUND = np.hypot(*np.meshgrid(2 * ACROSS - 1, 2 * ACROSS - 1)) / np.sqrt(2)
FIELDS = {
    "even": np.ones((SIDE, SIDE)),
    "lopsided": np.tile(1 - 0.35 * ACROSS, (SIDE, 1)),
    "vignette": 1 - 0.25 * ROUND**2,
    "both": (1 - 0.2 * ACROSS)[:, None] * (1 - 0.2 * ROUND**2),
}


def lit(picture: Picture, lamp: tuple[float, ...], field: NDArray[np.float64]) -> Picture:
    return (picture * np.array(lamp) * field[..., None] + 0.5).clip(0, 255).astype(np.uint8)


def corrected(picture: Picture) -> Picture:
    light = light_of(reduced(picture), max(picture.shape))
    rows, columns = ((2 * np.arange(length) + 1) / length - 1 for length in picture.shape[:2])
    return picture if light is None else neutralised(picture, light, rows, columns)


def drawn(label: str, seed: int) -> Picture:
    random = np.random.default_rng(seed)
    return draw(random, label, SIDE, smear_look(random, FIRST_MICROSCOPE), FIRST_MICROSCOPE)


@pytest.fixture(scope="module")
def cells() -> list[Picture]:
    return [smear(), drawn("neutrophil", 3), drawn("eosinophil", 4), drawn("lymphocyte", 5)]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("lamp", LAMPS)
def test_the_lamp_does_not_matter(cells: list[Picture], lamp: str, field: str) -> None:
    framing = Framing(96, "none", 1.5, light="neutral")
    for cell in cells:
        other = lit(cell, LAMPS[lamp], FIELDS[field])
        first, second = (
            prepare(encoded(Image.fromarray(picture)), framing).pixels.astype(int)
            for picture in (cell, other)
        )
        away = np.abs(first - second)
        assert np.median(away) < 4
        assert away.mean() < 5  # more in corners where no glass is seen


@pytest.mark.parametrize("field", FIELDS)
def test_glass_becomes_neutral_everywhere(field: str) -> None:
    found = corrected(lit(smear(), LAMPS["yellow"], FIELDS[field]))
    corners = [found[y : y + 12, x : x + 12] for y in (4, 304) for x in (4, 304)]
    for corner in corners:  # bare glass lies there
        assert np.median(corner, axis=(0, 1)) == pytest.approx(NEUTRAL, abs=6)


@pytest.mark.parametrize("name", ["red cells", "inside a cell", "nucleus"])
def test_without_glass_the_colours_stay(name: str) -> None:
    """The palest pixels are a red cell or cytoplasm: as glass they would turn all into nonsense."""
    y, x = np.mgrid[:90, :90]
    random = np.random.default_rng(0)
    if name == "red cells":  # thick and overlapping, with their pallor
        waves = 0.25 + 0.12 * np.sin(x / 6) * np.cos(y / 7)
        light = (235, 228, 220) * np.exp(-waves[..., None] * (0.3, 1.2, 1.4))
    else:
        plasma = 0.3 + 0.08 * np.sin(x / 5) * np.sin(y / 4)
        density = plasma[..., None] * (1.2, 1.5, 0.6)
        if name == "inside a cell":
            density = density + ((x - 45) ** 2 + (y - 45) ** 2 < 700)[..., None] * (0.8, 1.3, 0.5)
        else:
            density = density * 3
        light = (235, 228, 220) * np.exp(-density)
    picture = (light + random.normal(0, 3, light.shape)).clip(0, 255).astype(np.uint8)
    change = corrected(picture).astype(int) - picture
    assert np.abs(change.mean(axis=(0, 1))).max() < 12


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (7, 900), (60, 60)])
@pytest.mark.parametrize("kind", ["black", "white", "noise", "ramp"])
def test_every_picture_gives_one(shape: tuple[int, int], kind: str) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    if kind == "white":
        picture[:] = 255
    elif kind == "noise":
        picture[:] = np.random.default_rng(0).integers(0, 256, picture.shape)
    elif kind == "ramp":
        picture[:] = np.linspace(0, 255, shape[1])[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = corrected(picture)
    assert found.shape == picture.shape
    assert found.dtype == np.uint8


def test_what_is_brighter_than_glass_does_not_run_over() -> None:
    field = (smear() * 0.6).astype(np.uint8)
    field[10:14, 200:204] = 255
    assert (corrected(field)[10:14, 200:204] == 255).all()


def test_a_crop_is_treated_as_in_the_whole() -> None:
    field = lit(smear(), LAMPS["yellow"], FIELDS["both"])
    data = encoded(Image.fromarray(field))
    crop = prepare(data, Framing(120, "cell", 1.5, light="neutral")).pixels  # 120 pixels, unscaled
    assert np.abs(crop.astype(int) - corrected(field)[100:220, 100:220]).mean() < 1
