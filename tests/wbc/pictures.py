"""Pictures that tests make."""

import io
from typing import Any

from PIL import Image, ImageDraw

GLASS = (240, 228, 214)
CYTOPLASM = (206, 172, 204)
NUCLEUS = (96, 48, 140)


def encoded(picture: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def cell(width: int = 200, height: int = 200, x: int = 100, y: int = 100) -> Image.Image:
    """A leukocyte of radius 30 at x, y on glass."""
    picture = Image.new("RGB", (width, height), GLASS)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((x - 30, y - 30, x + 30, y + 30), fill=CYTOPLASM)
    draw.ellipse((x - 20, y - 20, x + 20, y + 20), fill=NUCLEUS)
    return picture
