"""Cells cut out at their own scale, by localisation or by mask, in one piece and unstretched."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.wbc.pictures import GLASS, cell, encoded
from wbc.imaging import Framing, UnreadableImage, prepare


def mask(width: int, height: int, box: tuple[int, int, int, int], value: int = 255) -> bytes:
    picture = Image.new("L", (width, height))
    picture.paste(value, box)
    return encoded(picture)


def test_the_crop_is_centred_on_the_cell_at_its_scale() -> None:
    """A cell of 60 pixels and context 2: a window of 120, so the cell spans half the square."""
    prepared = prepare(encoded(cell(400, 300, 280, 120)), Framing(128, "cell", 2.0))
    assert prepared.located
    assert prepared.pixels.shape == (128, 128, 3)
    assert prepared.pixels.dtype == np.uint8
    inside = np.abs(prepared.pixels.astype(int) - GLASS).max(axis=2) > 20
    rows, columns = np.nonzero(inside)
    for places in (rows, columns):
        assert places.min() == pytest.approx(32, abs=4)
        assert places.max() == pytest.approx(96, abs=4)


@pytest.mark.parametrize("zoom", [0.5, 2.0])
def test_magnifications_look_alike_after_the_crop(zoom: float) -> None:
    picture = cell(300, 300, 130, 170)
    other = picture.resize((round(300 * zoom),) * 2, Image.Resampling.BICUBIC)
    first, second = (
        prepare(encoded(image), Framing(64, "cell", 1.5)).pixels.astype(int)
        for image in (picture, other)
    )
    assert np.abs(first - second).mean() < 4


def test_outside_the_picture_lies_its_background() -> None:
    prepared = prepare(encoded(cell(200, 200, 8, 192)), Framing(96, "cell", 2.0))
    assert prepared.located
    assert prepared.pixels[-1, 0] == pytest.approx(GLASS, abs=3)
    assert prepared.pixels.max(axis=2).min() > 100  # no black corners


@pytest.mark.parametrize("size", [(300, 100), (100, 300)])
def test_without_a_crop_nothing_is_stretched_or_lost(size: tuple[int, int]) -> None:
    picture = cell(*size, size[0] // 2, size[1] // 2)
    prepared = prepare(encoded(picture), Framing(150, "none", 1.5))
    violet = prepared.pixels[..., 1] < 100
    rows, columns = np.nonzero(violet)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=1)
    assert np.ptp(rows) == pytest.approx(20, abs=2)
    assert prepared.pixels[0, 0] == pytest.approx(GLASS, abs=2)
    assert prepared.located


def test_without_a_cell_the_whole_picture_stands_in() -> None:
    data = encoded(Image.new("RGB", (80, 60), GLASS))
    prepared = prepare(data, Framing(32, "cell", 1.5))
    assert not prepared.located
    assert (prepared.pixels == prepare(data, Framing(32, "none", 1.5)).pixels).all()


def test_a_mask_gives_the_box_of_its_largest_part() -> None:
    picture = Image.new("RGB", (200, 100), GLASS)
    picture.paste((0, 90, 0), (120, 20, 160, 60))
    parts = Image.open(io.BytesIO(mask(200, 100, (120, 20, 160, 60))))
    parts.paste(255, (0, 0, 12, 12))
    prepared = prepare(encoded(picture), Framing(64, "mask", 2.0), encoded(parts))
    assert prepared.located
    expected: NDArray[np.uint8] = np.full((64, 64), GLASS[0], np.uint8)
    expected[16:48, 16:48] = 0
    assert np.abs(prepared.pixels[..., 0].astype(int) - expected).max() < 60
    assert np.abs(prepared.pixels[..., 0].astype(int) - expected).mean() < 2


def test_masks_may_be_labels_of_one() -> None:
    data = encoded(cell())
    ones = prepare(data, Framing(64, "mask", 1.5), mask(200, 200, (70, 70, 130, 130), value=1))
    full = prepare(data, Framing(64, "mask", 1.5), mask(200, 200, (70, 70, 130, 130)))
    assert ones.located
    assert (ones.pixels == full.pixels).all()


def test_an_empty_mask_leaves_the_whole_picture() -> None:
    assert not prepare(
        encoded(cell()), Framing(64, "mask", 1.5), mask(200, 200, (0, 0, 0, 0))
    ).located


@pytest.mark.parametrize(
    "given, reason",
    [(None, "no mask"), (b"x", "mask: not an image"), (mask(9, 9, (0, 0, 9, 9)), "differ in size")],
)
def test_unusable_masks_are_refused(given: bytes | None, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        prepare(encoded(cell()), Framing(64, "mask", 1.5), given)


@pytest.mark.parametrize(("width", "height"), [(60_000, 2), (1, 30_000)])
def test_a_strip_needs_no_square_of_its_own_length(width: int, height: int) -> None:
    """60,000 x 60,000 pixels would be 10 GB; the strip lies in the middle, its glass around it."""
    picture = Image.new("RGB", (width, height), GLASS)
    pixels = prepare(encoded(picture), Framing(64, "cell", 1.5)).pixels
    assert pixels.shape == (64, 64, 3) and np.ptp(pixels, axis=(0, 1)).max() <= 1


def test_lengths_that_no_square_has_are_refused() -> None:
    for size, context in ((0, 1.5), (10**9, 1.5), ("64", 1.5), (64, 0.0), (64, 1e9), (64, "x")):
        with pytest.raises(ValueError, match=r"(size|context) is .*, not "):
            Framing(size, "cell", context)  # type: ignore[arg-type]


def test_an_unknown_crop_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="none, cell or mask"):
        prepare(encoded(cell()), Framing(64, "square", 1.5))


def grainy(side: int) -> Image.Image:
    """A square picture of a cell with the grain of a camera."""
    picture = cell(side, side, side // 2, side // 2)
    grain = np.random.default_rng(0).normal(0, 12, (side, side, 3))
    return Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("side, size", [(575, 224), (512, 128), (450, 224)])
def test_shrinking_is_pillows_within_one_grey_level(side: int, size: int) -> None:
    picture = grainy(side)
    expected = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
    difference = np.abs(prepare(encoded(picture), Framing(size, "none", 1.5)).pixels - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("side, size", [(230, 224), (150, 224), (33, 128), (1, 32)])
def test_enlarging_is_pillows_but_for_a_few_values(side: int, size: int) -> None:
    picture = grainy(side)
    expected = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
    difference = np.abs(prepare(encoded(picture), Framing(size, "none", 1.5)).pixels - expected)
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.02
    assert (difference > 1).mean() < 1e-4


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    picture = grainy(64)
    assert (prepare(encoded(picture), Framing(64, "none", 1.5)).pixels == np.asarray(picture)).all()


def resized_grain(side: int, size: int) -> bytes:
    return prepare(encoded(grainy(side)), Framing(size, "none", 1.5)).pixels.tobytes()


def test_the_processor_does_not_matter() -> None:
    """Without its vector instructions torch takes another way, to the same bytes."""
    sizes = (300, 224), (100, 128)
    script = (
        "import sys; from tests.wbc.test_imaging import resized_grain as resized;"
        f"sys.stdout.buffer.write(b''.join(resized(*each) for each in {sizes}))"
    )
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    plain = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert plain.stdout == b"".join(resized_grain(*each) for each in sizes), plain.stderr.decode()


def test_shrinking_is_antialiased() -> None:
    """A checkerboard of single pixels is evenly grey after it, not a moiré."""
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = prepare(encoded(Image.fromarray(board)), Framing(48, "none", 1.5)).pixels
    assert np.abs(pixels.astype(int) - 127).max() < 12


def test_without_resizing_nothing_needs_torch() -> None:
    """Its import takes seconds, which split and the process that starts the workers can save."""
    check = "import sys, wbc.imaging; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
