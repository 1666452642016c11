"""Small pictures of cells as the model saw them, for pages: JPEGs in base64."""

import base64
import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wbc.decoding import UnreadableImage, decode
from wbc.framing import Framing
from wbc.predicting.found import Found
from wbc.predicting.preparing import prepared
from wbc.slides.pictures import Pictures

TILE: Final = 112  # pixels
_OPAQUE: Final = 0.6  # of the highest place of a map, as in wbc.figures_why

Square = NDArray[np.uint8]


def squares(names: Sequence[str], cells: Pictures, framing: Framing) -> dict[str, Square]:
    """{name: what the model saw (S, S, 3)}; a file that has gone or cannot be read is left out."""
    wanted = dict.fromkeys(names)
    if cells.seen:
        return dict(_decoded({name: cells.seen[name] for name in wanted if name in cells.seen}))
    ready = prepared(
        (Found(name, cells.files[name]) for name in wanted if name in cells.files), framing
    )
    return {one.name: one.pixels for one in ready if one.pixels is not None}


def _decoded(files: Mapping[str, Path]) -> Iterator[tuple[str, Square]]:
    for name, path in files.items():
        with contextlib.suppress(OSError, UnreadableImage):
            yield name, decode(path.read_bytes())


def thumbnail(square: Square) -> str:
    buffer = io.BytesIO()
    small = Image.fromarray(square).resize((TILE, TILE), Image.Resampling.LANCZOS)
    small.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def overlaid(square: Square, values: NDArray[np.float32]) -> Square:
    """A square (S, S, 3) below its Grad-CAM map (S, S; 0 to 1): the higher, the more opaque."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"](values)[..., :3] * 255
    opacity = _OPAQUE * values[..., None]
    return (
        np.asarray(square * (1 - opacity) + colours * opacity, np.float64).round().astype(np.uint8)
    )
