"""What `differential` leaves for a review, made without a model."""

from pathlib import Path
from typing import Any

from tests.wbc import pictures
from wbc.cells import CLASSES
from wbc.reviewing.queue import Queued, Run, write_run

FRAMING = {"size": 64, "crop": "cell", "context": 1.5}
SHARES = dict(zip(CLASSES, (0.2, 0.1, 0.4, 0.2, 0.1), strict=True))


def write_out(folder: Path, num_cells: int) -> Path:
    """OUT with a queue of so many cells below `folder`/slides, all answered as monocytes."""
    cells, out = folder / "slides" / "a", folder / "out"
    cells.mkdir(parents=True)
    out.mkdir()
    for number in range(num_cells):
        picture = pictures.cell(120, 120, 50 + number, 60)
        (cells / f"{number}.png").write_bytes(pictures.encoded(picture))
    queue = [queued(cells / f"{number}.png", number) for number in range(num_cells)]
    again = "python -m wbc differential slides --out out"
    write_run(Run(str(folder / "slides"), ["the-model"], FRAMING, queue, again), out)
    return out


def queued(path: Path, number: int) -> Queued:
    others: dict[str, Any] = {"other-model": "basophil"} if number == 0 else {}
    reason = "uncertain models-differ" if others else "uncertain"
    return Queued(f"a/{path.name}", str(path), "a", reason, "monocyte", SHARES, others)
