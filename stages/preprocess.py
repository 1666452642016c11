"""preprocess: every image decoded, cropped and resized once, into a memory-mapped store."""

from pathlib import Path

from stages._run import run
from wbc import params
from wbc.cells import COLUMNS, read_table
from wbc.pixels import open_store
from wbc.preprocessing import fill_store
from wbc.sheet import contact_sheet

RAW_DIR, SPLIT_PATH, OUT_DIR = Path("data/raw"), Path("data/split/split.csv"), Path("data/pixels")


def main() -> None:
    settings = params.load(Path("params.yaml")).preprocess
    fill_store(read_table(SPLIT_PATH, (*COLUMNS, "split", "reason")), RAW_DIR, OUT_DIR, settings)
    contact_sheet(open_store(OUT_DIR)).save(OUT_DIR / "sheet.png")


if __name__ == "__main__":
    run(main)
