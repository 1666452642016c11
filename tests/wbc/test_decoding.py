"""Every kind of file that people bring: the right pixels, or a reason in a few words."""

import contextlib
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from tests.wbc.pictures import cell, encoded
from wbc.decoding import MAX_PIXELS, UnreadableImage, decode, header_size


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that promises so many pixels and holds none."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    idat = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + header + idat


def quarters(colours: list[Any], mode: str) -> Image.Image:
    """40 x 20 pixels: two colours side by side."""
    picture = Image.new(mode, (40, 20), colours[0])
    picture.paste(colours[1], (20, 0, 40, 20))
    return picture


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "WEBP", "JPEG"])
def test_every_format_gives_its_pixels(file_format: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 95, "subsampling": 0},
    }
    picture = cell(90, 70, 45, 35)
    pixels = decode(encoded(picture, file_format, **options.get(file_format, {})))
    assert pixels.shape == (70, 90, 3)
    assert pixels.dtype == np.uint8
    difference = np.abs(pixels.astype(int) - np.asarray(picture))
    assert difference.mean() < 3 if file_format == "JPEG" else (difference == 0).all()


@pytest.mark.parametrize(
    "mode, colours, expected",
    [
        ("1", [0, 1], [(0, 0, 0), (255, 255, 255)]),
        ("L", [7, 200], [(7, 7, 7), (200, 200, 200)]),
        ("LA", [(100, 255), (100, 0)], [(100, 100, 100), (255, 255, 255)]),
        ("RGBA", [(10, 20, 30, 255), (10, 20, 30, 0)], [(10, 20, 30), (255, 255, 255)]),
        ("I;16", [65535, 257 * 77], [(255, 255, 255), (77, 77, 77)]),
    ],
)
def test_every_pixel_type_becomes_rgb(mode: str, colours: list[Any], expected: Any) -> None:
    if mode == "I;16":
        values = np.repeat([colours], 20, 0).repeat(20, 1).astype(np.uint16)
        picture = Image.fromarray(values)
    else:
        picture = quarters(colours, mode)
    for file_format in ("PNG", "TIFF"):
        pixels = decode(encoded(picture, file_format))
        assert pixels.shape == (20, 40, 3)
        assert tuple(pixels[10, 5]) == expected[0]
        assert tuple(pixels[10, 35]) == expected[1]


def test_half_transparent_pixels_lie_on_white() -> None:
    pixels = decode(encoded(Image.new("RGBA", (4, 4), (0, 100, 200, 128))))
    assert pixels[0, 0] == pytest.approx((127, 177, 227), abs=1)


def test_palettes_keep_colours_and_transparency() -> None:
    picture = quarters([(200, 10, 10), (10, 10, 200)], "RGB").quantize(2)
    assert tuple(decode(encoded(picture))[0, 0]) == pytest.approx((200, 10, 10), abs=2)
    clear = int(np.asarray(picture)[0, 0])
    pixels = decode(encoded(picture, transparency=clear))
    assert tuple(pixels[0, 0]) == (255, 255, 255)
    assert tuple(pixels[0, 30]) == pytest.approx((10, 10, 200), abs=2)


def test_sixteen_bits_are_rounded_not_clipped() -> None:
    values = np.array([[0, 128, 129, 255, 256, 40000, 65535]], np.uint16)
    expected = np.rint(values / 257).astype(int)
    for byte_order in ("<u2", ">u2"):
        pixels = decode(encoded(Image.fromarray(values.astype(byte_order)), "TIFF"))
        assert (pixels[..., 0] == expected).all()


def test_sixteen_bit_tiff_may_store_white_as_zero() -> None:
    """Tag 262 (photometric) 0 instead of 1, set in the bytes: a type 3 entry with one value."""
    data = encoded(Image.fromarray(np.full((4, 4), 60000, np.uint16)), "TIFF")
    black_is_zero = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    assert data.count(black_is_zero) == 1
    data = data.replace(black_is_zero, struct.pack("<HHIHH", 262, 3, 1, 0, 0))
    assert decode(data)[0, 0, 0] == round((65535 - 60000) / 257)


def test_sixteen_bit_colour_png() -> None:
    rows = b"".join(b"\0" + struct.pack(">HHH", 65535, 32896, 0) * 3 for _ in range(2))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert tuple(decode(data)[1, 2]) == (255, 128, 0)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(file_format: str) -> None:
    """Full cyan is no red; and no ink is white, which Adobe's inverted JPEGs get wrong."""
    picture = quarters([(255, 0, 0, 0), (0, 0, 0, 0)], "CMYK")
    pixels = decode(encoded(picture, file_format))
    assert tuple(pixels[10, 5]) == pytest.approx((0, 255, 255), abs=6)
    assert tuple(pixels[10, 35]) == pytest.approx((255, 255, 255), abs=6)


def test_only_the_first_frame_counts() -> None:
    first, second = Image.new("RGB", (9, 9), (200, 0, 0)), Image.new("RGB", (9, 9), (0, 0, 200))
    for file_format in ("TIFF", "PNG", "WEBP", "MPO"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        data = encoded(first, file_format, save_all=True, append_images=[second], **options)
        assert tuple(decode(data)[4, 4]) == pytest.approx((200, 0, 0), abs=3), file_format


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(file_format: str, orientation: int) -> None:
    """The upright picture has a dark top left quarter; the file stores it turned."""
    upright = np.full((32, 48), 250, np.uint8)
    upright[:16, :24] = 20
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    pixels = decode(encoded(picture, file_format, exif=exif))
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels[..., 0].astype(int) - upright).mean() < 3


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_does_not_matter() -> None:
    data = encoded(cell(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert decode(data).shape == (200, 200, 3)


def test_colour_profiles_are_ignored() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert (decode(encoded(cell(), icc_profile=profile)) == np.asarray(cell())).all()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("share", [0.0005, 0.02, 0.3, 0.7, 0.95])
def test_truncated_files_are_refused(file_format: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), file_format)
    with pytest.raises(UnreadableImage, match=r"truncated|damaged|not an image"):
        decode(data[: max(2, int(share * len(data)))])


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 40}])
def test_truncated_jpegs_are_refused_of_every_kind(options: dict[str, Any]) -> None:
    data = encoded(cell(), "JPEG", **options)
    for lost in (10, 100, len(data) // 2):
        with pytest.raises(UnreadableImage, match="truncated JPEG"):
            decode(data[:-lost])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "empty file"),
        (b"\0" * 5000, "not an image"),
        (b"path,label\na.jpg,monocyte\n", "not an image"),
        (b"<html><body>404</body></html>", "not an image"),
        (encoded(Image.new("RGB", (4, 4)), "GIF"), "GIF is not read"),
        (encoded(Image.new("RGB", (4, 4)), "PPM"), "PPM is not read"),
        (encoded(Image.new("RGB", (4, 4)), "ICO"), "ICO is not read"),
        (encoded(Image.new("RGB", (4, 4)), "PDF"), "PDF is not read"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC is not read"),
        (bytes(128) + b"DICM" + bytes(50), "DICOM is not read"),
        (b"\xff\xd8\xff\xe0\0", "damaged header"),
        (png_header(0, 10), "damaged header"),
        (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "pixel type F"),
        (encoded(Image.new("I", (4, 4), 70000), "TIFF"), "pixel type I"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason) as caught:
        decode(data)
    assert len(str(caught.value)) < 60


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("width, height", [(10_001, 10_000), (50_000, 50_000)])
def test_bombs_are_refused_before_decoding(width: int, height: int) -> None:
    """The header alone decides: there are no pixels behind it, which would be another reason."""
    assert width * height > MAX_PIXELS
    with pytest.raises(UnreadableImage, match="too large"):
        decode(png_header(width, height))


def test_the_limit_itself_is_no_bomb() -> None:
    with pytest.raises(UnreadableImage, match="truncated PNG"):
        decode(png_header(8000, 10_000))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_random_damage_never_raises_anything_else() -> None:
    random = np.random.default_rng(0)
    for file_format in ("JPEG", "PNG", "TIFF", "BMP", "WEBP"):
        data = np.frombuffer(encoded(cell(), file_format), np.uint8)
        for _ in range(60):
            damaged = data.copy()
            places = random.integers(0, min(400, data.size), 6)
            damaged[places] = random.integers(0, 256, 6)
            with contextlib.suppress(UnreadableImage):
                assert decode(damaged.tobytes()).shape[2] == 3
            header_size(damaged.tobytes())


def chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    checked = name + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))


def test_a_bomb_in_a_comment_is_refused() -> None:
    """Pillow raises ValueError here, in its header parser."""
    data = encoded(cell())
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(5_000_000)))
    with pytest.raises(UnreadableImage, match="damaged header"):
        decode(data[:33] + bomb + data[33:])


def test_whatever_a_decoder_raises_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(picture: Image.Image) -> None:
        raise IndexError("deep inside a decoder")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(UnreadableImage, match="damaged or truncated BMP"):
        decode(encoded(cell(), "BMP"))


def test_header_size_reads_the_header_only() -> None:
    data = encoded(cell(90, 70, 45, 35), "JPEG")
    assert header_size(data) == (90, 70)
    assert header_size(data[:700]) == (90, 70)
    assert header_size(b"") == (0, 0)
    assert header_size(b"not an image") == (0, 0)
