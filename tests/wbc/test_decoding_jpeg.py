"""The fast way through a JPEG gives Pillow's bits and Pillow's refusals, or leaves it to Pillow."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tests.wbc.pictures import cell, encoded
from wbc import decoding
from wbc.decoding import UnreadableImage, decode

SIZES = ((1, 1), (7, 5), (16, 8), (33, 31), (120, 97))
ENCODINGS: tuple[dict[str, Any], ...] = (
    {},
    {"progressive": True},
    {"optimize": True},
    {"restart_marker_blocks": 1},
    {"restart_marker_rows": 1, "progressive": True},
)


def photo(width: int, height: int) -> Image.Image:
    """A cell with grain, so that every coefficient of the transform is in use."""
    picture = cell(120, 97, 60, 50).filter(ImageFilter.GaussianBlur(1))
    grain = np.random.default_rng(0).normal(0, 12, (97, 120, 3))
    pixels = (np.asarray(picture) + grain).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((width, height))


def outcome(data: bytes) -> NDArray[np.uint8] | str:
    try:
        return decode(data)
    except UnreadableImage as reason:
        return str(reason)


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], bool]:
    """Asserts the same pixels or the same reason from both ways; whether the fast one was taken."""

    def compare(data: bytes) -> bool:
        taken = []

        def watched(*arguments: Any) -> Any:
            taken.append(fast(*arguments))
            return taken[-1]

        fast = decoding._jpeg
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "_jpeg", watched)
            quick = outcome(data)
            patch.setattr(decoding, "_jpeg", lambda data, picture: None)
            slow = outcome(data)
        assert isinstance(quick, str) == isinstance(slow, str)
        assert np.array_equal(quick, slow)
        return any(rgb is not None for rgb in taken)

    return compare


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_sound_files_take_the_fast_way_to_the_same_bits(
    both: Callable[[bytes], bool], mode: str, encoding: dict[str, Any]
) -> None:
    for size, quality, subsampling in itertools.product(SIZES, (5, 75, 100), (0, 1, 2, "4:1:1")):
        options = {"quality": quality, "subsampling": subsampling, **encoding}
        assert both(encoded(photo(*size).convert(mode), "JPEG", **options)), (size, options)


def test_files_that_store_rgb_give_the_same_bits(both: Callable[[bytes], bool]) -> None:
    assert both(encoded(photo(33, 31), "JPEG", keep_rgb=True))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_files_give_the_same_bits(both: Callable[[bytes], bool], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert both(encoded(photo(33, 20), "JPEG", exif=exif))


def test_several_pictures_in_a_file_give_the_first(both: Callable[[bytes], bool]) -> None:
    data = encoded(photo(33, 20), "MPO", save_all=True, append_images=[photo(9, 9)])
    assert both(data)


@pytest.mark.parametrize(
    "data",
    [
        encoded(photo(33, 31).convert("CMYK"), "JPEG"),
        encoded(photo(33, 31), "PNG"),
        encoded(photo(33, 31), "JPEG")[:-2],
        encoded(photo(120, 97), "JPEG")[:-400],
        b"\xff\xd8\xff" + bytes(50),
    ],
    ids=["cmyk", "png", "no end", "half", "no jpeg"],
)
def test_all_else_is_left_to_pillow(both: Callable[[bytes], bool], data: bytes) -> None:
    assert not both(data)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_damage_has_the_same_outcome(
    both: Callable[[bytes], bool], encoding: dict[str, Any]
) -> None:
    """Cut off, lost and changed bytes; a change of one may leave a sound file of other pixels."""
    random = np.random.default_rng(0)
    whole = encoded(photo(120, 97), "JPEG", **encoding)
    taken = 0
    for _ in range(150):
        place, length = int(random.integers(2, len(whole))), int(random.integers(1, 40))
        changed = bytearray(whole)
        changed[place] = int(random.integers(256))
        for data in (whole[:place], whole[:place] + whole[place + length :], bytes(changed)):
            taken += both(data)
    assert taken > 20


@pytest.mark.parametrize(
    "wrong", [np.zeros((9, 9, 3), np.uint8), RuntimeError("a fault of its own")]
)
def test_a_fault_of_the_fast_decoder_is_no_fault_of_the_file(
    monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    def decode_jpeg(data: bytes, **options: Any) -> Any:
        if isinstance(wrong, Exception):
            raise wrong
        return wrong

    monkeypatch.setattr("simplejpeg.decode_jpeg", decode_jpeg)
    assert decode(encoded(photo(33, 20), "JPEG")).shape == (20, 33, 3)
