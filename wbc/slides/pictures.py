"""The pictures below DIR, by the names that every table and page gives them."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from wbc.predicting.inputs import Inputs, names_of


@dataclass(frozen=True)
class Pictures:
    """The cells of DIR in order: {name relative to DIR: file}, and a digest over all files.

    The digest changes with names, sizes and times of change. `seen`: of cells that were cut out of
    fields, files with what the first model saw.
    """

    folder: Path
    files: dict[str, Path]
    digest: str
    seen: dict[str, Path] = field(default_factory=dict)


def pictures(folder: Path) -> Pictures:
    """Raises UserError where there is no picture."""
    inputs = Inputs([str(folder)], ())
    inputs.check()
    prefix = prefix_of(folder)
    files, digest = {}, hashlib.sha256()
    for found in inputs:
        name = found.name.removeprefix(prefix)
        if found.path is not None:
            files[name] = found.path
        digest.update(f"{name}\0{_stamp(found.path)}\n".encode())
    return Pictures(folder, files, digest.hexdigest())


def prefix_of(folder: Path) -> str:
    """What `predict` puts before the names of DIR's files."""
    (name,) = names_of([str(folder)])
    return f"{name}/" if name else ""


def _stamp(path: Path | None) -> str:
    try:
        status = path.stat() if path else None
    except OSError:
        status = None
    return f"{status.st_size} {status.st_mtime_ns}" if status else ""
