"""Pictures that a person has answered for, kept where no later run of `differential` deletes them.

Of cells that were cut out of fields: their pictures are made anew when the code or the first model
is another. Those of single cells are the person's own files and stay where they are.
"""

from pathlib import Path
from typing import Final

from wbc.digests import digest_of
from wbc.disk import write_whole
from wbc.reviewing import journal

FOLDER: Final = "answered"  # in OUT


def path_of(out: Path, sha256: str) -> Path:
    """Where the PNG with these bytes is kept, if it is."""
    return out / FOLDER / f"{sha256}.png"


def keep(out: Path, sha256: str, data: bytes) -> None:
    """Raises OSError."""
    path = path_of(out, sha256)
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        write_whole(path, data)


def keep_all(out: Path, cut: Path) -> None:
    """What older code answered for and left in the folder `cut` alone; raises OSError."""
    for sha256, entry in journal.by_picture(journal.read(out)).items():
        path = cut / entry.cell
        if entry.label and not path_of(out, sha256).is_file() and digest_of(path) == sha256:
            keep(out, sha256, path.read_bytes())
