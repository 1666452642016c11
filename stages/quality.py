"""quality: cells that a person should look at again, as a ranked table and a page of pictures."""

import json
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages._run import run
from wbc import descriptors, label_quality, quality_page
from wbc.cells import read_table, write_table
from wbc.decoding import UnreadableImage, decode
from wbc.pixels import PixelStore, open_store

log = logging.getLogger(__name__)

RAW_DIR, COPIES_PATH, OUT_DIR = Path("data/raw"), Path("data/split/duplicates.csv"), Path("quality")


def main() -> None:
    store = open_store(Path("data/pixels"))
    described = descriptors.describe(store)
    issues = label_quality.issues(store.table, read_table(COPIES_PATH), described)
    write_table(issues.table, OUT_DIR / "issues.csv")
    text = json.dumps(issues.summary(), indent=2)
    (OUT_DIR / "summary.json").write_text(text + "\n", encoding="utf-8")
    page = quality_page.page(issues, pictures(store))
    (OUT_DIR / "issues.html").write_text(page, encoding="utf-8")
    counts = ", ".join(f"{kind} {count}" for kind, count in issues.counts().items())
    log.info("to look at again: %s (quality/issues.html)", counts)


def pictures(store: PixelStore) -> quality_page.Picture:
    """Pixels by a cell's path: from the store, or from the file where split left the cell out."""
    rows = {path: row for row, path in enumerate(store.table["path"])}

    def picture(path: str) -> NDArray[np.uint8]:
        if path in rows:
            return np.asarray(store.read([rows[path]])[0], np.uint8)
        try:
            return np.asarray(decode((RAW_DIR / path).read_bytes()), np.uint8)
        except UnreadableImage as error:
            raise OSError(str(error)) from None

    return picture


if __name__ == "__main__":
    run(main)
