"""A contact sheet of a pixel store: what the networks will see, by source and class."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wbc.cells import CLASSES
from wbc.pixels import PixelStore

NUM_COLUMNS: Final = 12
TILE: Final = 96  # pixels, side of a cell on the sheet
MARGIN: Final = 170  # pixels, room for the names on the left
GAP: Final = 2


def contact_sheet(store: PixelStore) -> Image.Image:
    """Up to NUM_COLUMNS cells a row, evenly spread over the rows of the index.

    One row for each source, kind of split (trained on or not) and class, in that order.
    """
    rows = [
        (f"{label}\n{source}, {name}", store.read(chosen))
        for source, name, part in _groups(store)
        for label in CLASSES
        if len(chosen := _spread(np.flatnonzero(part & (store.table["label"] == label))))
    ]
    return sheet_of(rows)


def sheet_of(rows: Sequence[tuple[str, np.ndarray]]) -> Image.Image:
    """Rows of words (two or three lines) and squares (at most NUM_COLUMNS, S, S, 3)."""
    width = MARGIN + NUM_COLUMNS * (TILE + GAP)
    sheet = Image.new("RGB", (width, len(rows) * (TILE + GAP)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for i, (words, squares) in enumerate(rows):
        top = i * (TILE + GAP)
        draw.text((6, top + TILE // 2 - 18), words, fill="black", font=font)
        for column, pixels in enumerate(squares):
            tile = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (MARGIN + column * (TILE + GAP), top))
    return sheet


def _groups(store: PixelStore) -> list[tuple[str, str, np.ndarray]]:
    """(source, words, mask over rows) for what is trained on and each set that is not."""
    table = store.table
    words = table["split"].where(~table["split"].isin(["train", "val"]), "train")
    words = words.where(words != table["source"], "external")
    pairs = sorted(
        set(zip(table["source"], words, strict=True)), key=lambda p: (p[0], _order(p[1]))
    )
    return [(s, w, ((table["source"] == s) & (words == w)).to_numpy()) for s, w in pairs]


def _order(word: str) -> tuple[bool, str]:
    return word != "train", word


def _spread(rows: np.ndarray) -> list[int]:
    if len(rows) <= NUM_COLUMNS:
        return [int(row) for row in rows]
    steps = np.linspace(0, len(rows) - 1, NUM_COLUMNS).round().astype(int)
    return [int(row) for row in rows[steps]]
