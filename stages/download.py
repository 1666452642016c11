"""data/incoming, Kaggle, Mendeley or drawn smears -> data/raw: images unchanged, one table."""

import shutil
from pathlib import Path

from stages._run import run
from wbc import params, sources
from wbc.cells import write_table

RAW = Path("data/raw")


def main() -> None:
    settings = params.load(Path("params.yaml"))
    shutil.rmtree(RAW, ignore_errors=True)
    table = sources.collect(settings.data.sources, RAW, Path.cwd())
    write_table(table, RAW / "metadata.csv")


if __name__ == "__main__":
    run(main)
