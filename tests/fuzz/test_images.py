"""Bytes of pictures: pixels or a reason, and a square of the size asked for."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch  # noqa: F401 - imported late by what is tested, and it does not fit into its bounds
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.bounds import bounded
from tests.fuzz.mutations import mutated
from tests.fuzz.profile import inputs
from tests.wbc import pictures
from wbc.decoding import UnreadableImage, decode, header_size
from wbc.framing import CROPS, Framing
from wbc.imaging import prepare
from wbc.request import num_pixels

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
_CELL: Final = pictures.cell(70, 60, 35, 30)


def _all() -> list[bytes]:
    """Every format that is read or refused by name, in several pixel types and compressions."""
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("RGB", "JPEG", {"quality": 70}), ("L", "JPEG", {}), ("CMYK", "JPEG", {}),
        ("RGB", "JPEG", {"progressive": True}), ("RGB", "PNG", {}), ("P", "PNG", {}),
        ("LA", "PNG", {}), ("1", "PNG", {}), ("I;16", "PNG", {}), ("RGB", "BMP", {}),
        ("P", "BMP", {}), ("RGB", "TIFF", {}), ("RGB", "TIFF", {"compression": "tiff_lzw"}),
        ("RGB", "TIFF", {"compression": "jpeg"}), ("L", "TIFF", {"compression": "packbits"}),
        ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}), ("P", "GIF", {}),
        ("1", "TIFF", {"compression": "group4"}), ("RGB", "WEBP", {}), ("RGBA", "WEBP", {}),
        ("RGB", "WEBP", {"lossless": True}), ("RGB", "JPEG2000", {}), ("RGB", "PPM", {}),
    ]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = [pictures.encoded(_CELL, "JPEG", exif=exif), pictures.encoded(_CELL, "PNG", exif=exif)]
    for mode, name, options in kinds:
        picture = _CELL.convert("L") if mode == "I;16" else _CELL.convert(mode)
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
        whole.append(pictures.encoded(picture, name, **options))
    frames = io.BytesIO()
    _CELL.save(frames, "TIFF", save_all=True, append_images=[_CELL])
    return [*whole, frames.getvalue()]


SEEDS: Final = _all()
TOKENS: Final = (
    b"IHDR", b"IDAT", b"iCCP", b"eXIf", b"acTL", b"\xff\xd8", b"\xff\xc0", b"\xff\xe1", b"Exif\0\0",
    b"VP8L", b"ANIM", b"II*\0", b"MM\0*", b"GIF89a",
)  # fmt: skip


def blank_png(width: int, height: int, level: int = 9) -> bytes:
    """A sound grey PNG of any size in a few bytes, made without its pixels in memory at once."""
    packer, packed = zlib.compressobj(level), []
    row = b"\0" * (1 + width)
    for _ in range(height):
        packed.append(packer.compress(row))
    body = b"".join([*packed, packer.flush()])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)
    return head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@given(data=mutated(SEEDS, TOKENS))
@inputs(90)
def test_any_bytes_are_pixels_or_a_reason(data: bytes, area: Path) -> None:
    with bounded(area / "nothing"):
        width, height = header_size(data)
        assert width >= 0 and height >= 0 and num_pixels(data) >= 0
        try:
            pixels = decode(data)
        except UnreadableImage as reason:
            assert 0 < len(str(reason)) < 200
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
            assert {width, height} == set(pixels.shape[:2])


@given(
    data=mutated(SEEDS, TOKENS),
    mask=st.none() | mutated(SEEDS),
    crop=st.sampled_from(CROPS),
    context=st.floats(1, 4),
)
@inputs(30)
def test_any_bytes_are_a_square_or_a_reason(
    data: bytes, mask: bytes | None, crop: str, context: float, area: Path
) -> None:
    with bounded(area / "nothing"):
        try:
            square = prepare(data, Framing(48, crop, context), mask)
        except UnreadableImage as reason:
            assert 0 < len(str(reason)) < 200
        else:
            assert square.pixels.shape == (48, 48, 3)


@given(
    width=st.sampled_from((1, 2, 3, 150, 9_000, 60_000)),
    height=st.sampled_from((1, 2, 145, 900, 40_000)),
    crop=st.sampled_from(("none", "cell")),
)
@inputs(6)
def test_any_shape_is_a_square(width: int, height: int, crop: str, area: Path) -> None:
    if width * height > 1_000_000:
        height = max(1, 1_000_000 // width)
    data = blank_png(width, height)
    with bounded(area / "nothing"):
        assert prepare(data, Framing(48, crop, 1.5)).pixels.shape == (48, 48, 3)
