"""Whole fields for `predict --fields`: every leukocyte prepared, and pictures that show them."""

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wbc.cells import CLASSES
from wbc.disk import write_whole
from wbc.errors import UserError
from wbc.fields import Cell, prepare_field
from wbc.framing import Framing
from wbc.model import Card
from wbc.predicting.inputs import STDIN
from wbc.predicting.preparing import FieldCell, Kept, Ready, View
from wbc.predicting.rows import Row
from wbc.predicting.walking import base_of, is_pattern

CHUNK: Final = 1  # fields a task; each may hold many cells
VIEW_SIDE: Final = 1600  # pixels, longer side of an annotated picture; smaller fields keep theirs
# After Okabe and Ito, told apart by the colour-blind too, and dark enough under white letters.
COLOURS: Final = dict(
    zip(CLASSES, ("#0072B2", "#A65300", "#00795A", "#B03A2E", "#6A3D9A"), strict=True)
)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_ODD: Final = re.compile(r"\.\w{1,5}$|[^A-Za-z0-9._-]+")  # also the field's own ending
_NAME_LENGTH: Final = 80  # characters of a field's name that its picture's keeps


def every_cell(
    name: str, data: bytes, framing: Framing, show: bool = False, keep: bool = False
) -> list[Ready]:
    """Each leukocyte of a field, or one entry without pixels; raises UnreadableImage.

    show: what is needed to draw the annotated picture goes with the first entry; keep: each entry
    brings the cell's pictures.
    """
    image, cells = prepare_field(data, framing, around=keep)
    view = view_of(image) if show else None
    if not cells:
        return [Ready(name, field=FieldCell(0, view=view))]
    return [
        Ready(
            name,
            cell.pixels,
            located=True,
            field=FieldCell(number, cell.place, view if number == 1 else None, kept_of(cell)),
            last=number == len(cells),
        )
        for number, cell in enumerate(cells, start=1)
    ]


def kept_of(cell: Cell) -> Kept | None:
    return None if cell.around is None else Kept(png(cell.around), png(cell.pixels))


def view_of(image: NDArray[np.uint8]) -> View:
    picture = Image.fromarray(image)
    scale = min(1.0, VIEW_SIDE / max(picture.size))
    if scale < 1:
        size = [max(1, round(scale * length)) for length in picture.size]
        picture = picture.resize((size[0], size[1]), Image.Resampling.BOX)
    return View(_jpeg(picture), scale)


def check_crop(card: Card) -> None:
    """Raises UserError for a model that cannot look at cells of fields."""
    if card["input"]["crop"] == "none":
        raise UserError(
            "--fields cuts out cells, but this model learned from whole pictures (preprocess.crop:"
            " none); use a model trained with crop: cell or mask."
        )


def check_apart(folder: Path, paths: Sequence[str]) -> None:
    """Raises UserError where the annotated pictures would be found and judged themselves."""
    for path in paths:
        root = Path(base_of(path) if is_pattern(path) else path)
        if path != STDIN and root.is_dir() and folder.resolve().is_relative_to(root.resolve()):
            raise UserError(
                f"--annotate {folder} lies in {path}, whose pictures are judged, so its own would"
                " be too; name a folder outside of it."
            )


def check_folder(folder: Path, goes_on: bool, restart: bool) -> None:
    """Make the folder for annotated pictures.

    goes_on: an earlier run of the same command wrote into it.

    Raises:
        UserError: it holds files that may not be replaced, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        filled = any(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"--annotate should name a folder, but {folder} cannot be one ({error.strerror});"
            " name another."
        ) from None
    if filled and not goes_on and not restart:
        raise UserError(
            f"The folder {folder} for annotated pictures holds files already; name another"
            " --annotate, or add --restart to replace pictures of the same names."
        )


def annotate(folder: Path, batch: Sequence[Ready], rows: Sequence[Row]) -> None:
    """Write the picture of every field of the batch; raises OSError."""
    for field in _by_field(batch, rows):
        ready = field[0][0]
        if ready.field and ready.field.view:
            cells = [row for _, row in field if row["class"] is not None]
            write_whole(folder / file_name(ready.name), annotated(ready.field.view, cells))


def _by_field(batch: Sequence[Ready], rows: Sequence[Row]) -> Iterator[list[tuple[Ready, Row]]]:
    field = []
    for ready, row in zip(batch, rows, strict=True):
        field.append((ready, row))
        if ready.last:
            yield field
            field = []


def file_name(name: str) -> str:
    """The annotated picture's file: what is harmless of the field's name, and a digest of it all,
    so that no two fields share a file and none leads out of the folder."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_ODD.sub('_', name)[-_NAME_LENGTH:].strip('._-') or 'field'}-{digest}.jpg"


def annotated(view: View, cells: Sequence[Row]) -> bytes:
    """The field as a JPEG with each cell's box, number, class and probability."""
    picture = Image.open(io.BytesIO(view.jpeg)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    line = max(2, round(max(picture.size) / 400))
    font = ImageFont.load_default(max(13, round(max(picture.size) / 55)))
    for row in cells:
        left, top = row["x"] * view.scale, row["y"] * view.scale
        right = left + row["width"] * view.scale - 1
        bottom = top + row["height"] * view.scale - 1
        draw.rectangle((left, top, right, bottom), outline=COLOURS[row["class"]], width=line)
    for row in cells:  # after all boxes, so that none runs through words
        _label(draw, row, view.scale, font)
    if not cells:
        _words(draw, "no leukocyte found", 4, 4, "#444444", font)
    return _jpeg(picture)


def _label(draw: ImageDraw.ImageDraw, row: Row, scale: float, font: Font) -> None:
    """Above the box, or where there is no room, inside of it at the top; within the picture."""
    words = f"{row['cell']} {row['class']} {100 * row['p_' + row['class']]:.0f} %"
    words += " ?" if row["uncertain"] else ""
    wide, high = draw.textbbox((0, 0), words, font=font)[2:]
    x = min(row["x"] * scale, draw.im.size[0] - wide - 6)
    y = row["y"] * scale - high - 6
    _words(draw, words, max(0, x), max(0, y), COLOURS[row["class"]], font)


def _words(
    draw: ImageDraw.ImageDraw,
    words: str,
    x: float,
    y: float,
    colour: str,
    font: Font,
) -> None:
    right, bottom = draw.textbbox((x + 3, y + 2), words, font=font)[2:]
    draw.rectangle((x, y, right + 3, bottom + 3), fill=colour)
    draw.text((x + 3, y + 2), words, fill="white", font=font)


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
