"""From the bytes of an image file to RGB pixels, or the reason why not; without torch."""

import io
import math
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

FORMATS: Final = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
MAX_PIXELS: Final = 100_000_000  # width x height in the header; 100 megapixels take 300 MB as RGB
# Of the square that is cut out, before it is resized: that of the largest square picture. A strip
# of 60,000 x 1 pixels has few, but the square around it would have 10 GB.
MAX_SIDE: Final = math.isqrt(MAX_PIXELS)
EXIF_ORIENTATION: Final = 0x0112
TIFF_PHOTOMETRIC: Final = 0x0106
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# (offset, bytes there, name) of formats that people try and that are refused by name.
REFUSED: Final = (
    (0, b"GIF8", "GIF"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\0\0\0\x0cjP", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (128, b"DICM", "DICOM"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"P5", "PGM"),
    (0, b"P6", "PPM"),
)
STARTS: Final = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"BM", b"RIFF")


class UnreadableImage(ValueError):  # noqa: N818 - the name says what it is
    """The bytes give no picture; the message is the reason in a few words."""


def decode(data: bytes) -> NDArray[np.uint8]:
    """H x W x 3 RGB of a JPEG, PNG, TIFF, BMP or WebP file; raises UnreadableImage.

    The first frame counts; EXIF rotation is applied; transparency lies on white; 16-bit grey is
    divided by 257; embedded colour profiles are ignored, since the colours of a smear are relative
    to its background anyway. Truncated files are refused, never half shown.
    """
    picture = _open(data)
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"too large: {width} x {height} pixels")
    try:
        rgb = _jpeg(data, picture)
        if rgb is None:
            picture.load()
            rgb = np.array(_rgb(picture))
        return _upright(picture, rgb)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every type on damaged bytes
        raise UnreadableImage(f"damaged or truncated {picture.format}") from error


def header_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels as the file's header says, before any rotation; (0, 0): unreadable.

    The beginning of the file is enough where the header stands there.
    """
    try:
        return _open(data).size
    except UnreadableImage:
        return (0, 0)


def _open(data: bytes) -> Image.Image:
    """The picture behind the header, nothing decoded yet; raises UnreadableImage."""
    if not data:
        raise UnreadableImage("empty file")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too large") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(_refusal(data)) from error
    except Exception as error:  # Pillow's header parsers raise nearly every type
        raise UnreadableImage("damaged header") from error


def _refusal(data: bytes) -> str:
    """Why no decoder took the bytes, as far as their beginning tells."""
    for offset, start, name in REFUSED:
        if data[offset : offset + len(start)] == start:
            return f"{name} is not read; use PNG, JPEG, TIFF, BMP or WebP"
    return "damaged header" if data.startswith(STARTS) else "not an image"


def _jpeg(data: bytes, picture: Image.Image) -> NDArray[np.uint8] | None:
    """A sound grey or colour JPEG four times as fast as Pillow reads it; None for all else.

    The bits are Pillow's: both decode with libjpeg-turbo, slow DCT and smooth upsampling. `strict`
    refuses what libjpeg only warns of, so that Pillow alone judges damage and gives its reason.
    """
    if picture.format not in ("JPEG", "MPO") or picture.mode not in ("L", "RGB"):
        return None
    try:
        rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, colorspace="RGB", fastdct=False, fastupsample=False, strict=True
        )
    except Exception:  # whatever it is, Pillow finds it too and has the words for it
        return None
    return rgb if rgb.shape == (picture.height, picture.width, 3) else None


def _rgb(picture: Image.Image) -> Image.Image:
    """A loaded picture of any mode as RGB; raises UnreadableImage for modes without a known white.

    Pillow's own conversion clips 16-bit grey at 255 and drops transparency onto black.
    """
    if picture.mode.startswith("I;16"):
        grey = np.asarray(picture).astype(np.uint32)
        if picture.format == "TIFF" and dict(picture.getexif()).get(TIFF_PHOTOMETRIC) == 0:
            grey = 65535 - grey  # white is zero, which Pillow heeds for 8 bits only
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F", "LAB"):
        raise UnreadableImage(f"pixel type {picture.mode} is not read")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")


def _upright(picture: Image.Image, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`rgb` turned as the EXIF orientation of `picture` says (1 where that is unreadable)."""
    try:
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing about the pixels
        return rgb
    turn = TURNS.get(orientation)
    return rgb if turn is None else np.array(Image.fromarray(rgb).transpose(turn))
