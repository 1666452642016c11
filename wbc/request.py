"""What a request to the scoring server says: checked as cheaply as can be, then in one layout.

Nothing here makes more of a body than some times its bytes: JSON of millions of empty lists and
pictures that unpack to a thousand times their size are refused before they do.
"""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any, Final

from PIL import Image

from wbc.decoding import FORMATS, MAX_SIDE
from wbc.decoding import MAX_PIXELS as MAX_PIXELS_OF_ONE

MAX_IMAGES: Final = 1000  # a request
MAX_MARKS: Final = 10 * MAX_IMAGES  # of JSON: a row of a record with a data URL has 4
# of a request: some 10 s; a plain PNG of 30 kB unpacks to 98 million
MAX_PIXELS: Final = 3 * MAX_PIXELS_OF_ONE
LAYOUTS: Final = ("inputs", "instances", "dataframe_split", "dataframe_records")
COLUMN: Final = "image"
SPACE: Final = str.maketrans("", "", " \t\r\n\v\f")


class Refused(Exception):  # noqa: N818
    """A request that is answered with `status` and one sentence; `unread`: its body still comes."""

    def __init__(self, status: int, sentence: str, unread: bool = False) -> None:
        super().__init__(sentence)
        self.status, self.unread = status, unread


def checked(body: bytes) -> bytes:
    """The request in MLflow's layout dataframe_split, which it decodes; raises Refused."""
    if sum(body.count(mark) for mark in b",[{") > MAX_MARKS:  # each would be an object of 50 bytes
        raise Refused(
            413,
            f"At most {MAX_IMAGES} images a request; this one was not read, since it has over"
            f" {MAX_MARKS:,} commas and brackets.",
        )
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, 'The body is no JSON; send {"inputs": ["<base64>", ...]}.') from None
    named = [name for name in LAYOUTS if isinstance(request, dict) and name in request]
    if len(named) != 1:
        raise Refused(
            400, f"The body was expected to be a JSON object with one of {', '.join(LAYOUTS)}."
        )
    images = images_of(named[0], request[named[0]])
    if not images:
        raise Refused(400, f"{named[0]} holds no image.")
    if len(images) > MAX_IMAGES:
        raise Refused(413, f"At most {MAX_IMAGES} images a request, not {len(images)}.")
    data = {"columns": [COLUMN], "data": [[text] for text in texts_of(images)]}
    whole: dict[str, Any] = {"dataframe_split": data}
    if request.get("params") is not None:
        whole["params"] = _params(request["params"])
    return json.dumps(whole).encode()


def images_of(layout: str, content: Any) -> list[Any]:
    """What stands in the column `image`; raises Refused for anything else."""
    if layout == "dataframe_split":
        split = content if isinstance(content, dict) else {}
        rows = split.get("data")
        one_each = isinstance(rows, list) and all(
            isinstance(row, list) and len(row) == 1 for row in rows
        )
        if split.get("columns") != [COLUMN] or not one_each:
            raise Refused(
                400,
                f'dataframe_split was expected to be {{"columns": ["{COLUMN}"], "data":'
                ' [["<base64>"], ...]}.',
            )
        return [row[0] for row in split["data"]]
    if layout == "inputs" and isinstance(content, dict):
        content = _column(content, layout)
    if not isinstance(content, list):
        raise Refused(400, f"{layout} was expected to be a list of images.")
    if layout == "dataframe_records" or (content and isinstance(content[0], dict)):
        return [_column(row, layout) for row in content]
    return list(content)


def _column(row: Any, layout: str) -> Any:
    if not isinstance(row, dict) or set(row) != {COLUMN}:
        found = ", ".join(sorted(map(str, row))[:5])[:80] if isinstance(row, dict) else "no object"
        raise Refused(
            400,
            f'In {layout} each row should be {{"{COLUMN}": "<base64>"}}, found {found or "{}"}.',
        )
    return row[COLUMN]


def _params(params: Any) -> dict[str, bool]:
    if not isinstance(params, dict) or not all(
        name == "calibrated" and isinstance(value, bool) for name, value in params.items()
    ):
        raise Refused(400, 'The only parameter is {"calibrated": true or false}.')
    return params


def texts_of(images: Sequence[Any]) -> list[str]:
    """Each as plain base64, without the head of a data URL and white space.

    Raises:
        Refused: one is no base64 text, or the pictures have too many pixels.
    """
    texts, pixels = [], 0
    for number, image in enumerate(images):
        if not isinstance(image, str):
            found = "null" if image is None else type(image).__name__
            raise Refused(400, f"Image {number} was expected to be base64 text, but is {found}.")
        try:
            if not image.isascii():  # before `translate`, which is a hundred times slower for it
                raise ValueError("it has other letters")
            texts.append(image.rpartition(",")[2].translate(SPACE))
            data = base64.b64decode(texts[-1], validate=True)
        except ValueError as error:
            raise Refused(
                400, f"Image {number} was expected to be base64 text, but is none ({error})."
            ) from None
        pixels += num_pixels(data)
        if pixels > MAX_PIXELS:
            raise Refused(
                413,
                f"At most {MAX_PIXELS // 1_000_000} megapixels a request, which the first"
                f" {number + 1} images pass; send them in several requests.",
            )
    return texts


def num_pixels(data: bytes) -> int:
    """Of the square around a picture, which the model would make of it; 0 of what it refuses.

    So a strip of 60,000 x 1 pixels, which is a few bytes, counts as what it costs.
    """
    try:
        width, height = Image.open(io.BytesIO(data), formats=FORMATS).size
    except Exception:  # Pillow's header parsers raise nearly every type
        return 0
    if width * height > MAX_PIXELS_OF_ONE:
        return 0
    return int(max(width * height, min(max(width, height), MAX_SIDE) ** 2))
