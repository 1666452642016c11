"""Each leukocyte of a field as pictures of its own, for `differential --fields` and its review."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from wbc.disk import write_whole
from wbc.predicting.preparing import Ready

CUT, SEEN = "cut", "seen"  # folders: out of the field, and as the network sees it
_LONGEST: Final = 200  # bytes of a field's name; file systems allow 255 with all that is added


@dataclass(frozen=True)
class Keeping:
    """Where pictures go, and what the fields' names begin with that their cells' names do not."""

    folder: Path
    prefix: str


def cell_name(field: str, number: int) -> str:
    """How the cell of a field is called, and its file: a/1.jpg.3.png is the third of a/1.jpg."""
    path = PurePosixPath(field)
    name = path.name
    if len(name.encode()) > _LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name.encode()[: _LONGEST - 9].decode(errors='ignore')}-{digest}"
    return path.with_name(f"{name}.{number}.png").as_posix()


def keep(keeping: Keeping, batch: Sequence[Ready]) -> None:
    """Write the pictures of all cells, each whole or not at all; raises OSError."""
    for ready in batch:
        if ready.field is None or ready.field.kept is None:
            continue
        name = cell_name(ready.name.removeprefix(keeping.prefix), ready.field.number)
        for kind, data in ((CUT, ready.field.kept.cut), (SEEN, ready.field.kept.seen)):
            path = keeping.folder / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
