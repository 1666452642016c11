"""Folders and globs, in a fixed order and in memory that does not grow with the number of files."""

import fnmatch
import heapq
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from wbc.depth import MAX_DEPTH, check_depth
from wbc.disk import is_folder
from wbc.errors import UserError

NAMES: Final = 100_000  # of one folder in memory at a time; beyond them it is read once more
_MAGIC: Final = re.compile(r"[*?[]")

Identity = tuple[int, int]  # of a folder, whatever its name: device and inode


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def sorted_names(folder: Path, limit: int = NAMES) -> Iterator[tuple[str, bool]]:
    """Names in a folder in rising order, and whether each is a folder (links followed).

    Raises:
        OSError: the folder cannot be read.
    """
    last = ""
    while True:
        with os.scandir(folder) as entries:
            later = ((entry.name, is_folder(entry)) for entry in entries if entry.name > last)
            block = heapq.nsmallest(limit, later)
        yield from block
        if len(block) < limit:
            return
        last = block[-1][0]


def is_pattern(text: str) -> bool:
    """Whether a PATH is a glob; a file whose name looks like one is itself."""
    return bool(_MAGIC.search(text)) and not os.path.lexists(text)


def base_of(pattern: str) -> str:
    """The folder that a glob starts in: its parts before the first with a wildcard."""
    parts = Path(pattern).parts
    first = next(number for number, part in enumerate(parts) if _MAGIC.search(part))
    return str(Path(*parts[:first]))


def matches(pattern: str) -> Iterator[Path]:
    """What a glob names below `base_of` it, sorted within each folder; `**` is any depth.

    Raises:
        UserError: it is of more parts than folders may lie in each other, or meets such folders.
    """
    base = Path(base_of(pattern))
    parts = Path(pattern).parts[len(base.parts) :]
    if len(parts) > MAX_DEPTH:
        raise UserError(f"{base}/{parts[0]}/… asks for more than {MAX_DEPTH} parts; shorten it.")
    return _below(base, parts, base)


def _below(folder: Path, parts: Sequence[str], base: Path) -> Iterator[Path]:
    """Hidden names are matched only by a part that begins with a dot, as a shell does."""
    head, rest = parts[0], parts[1:]
    if head == "**":
        yield from _at_any_depth(folder, rest or ("*",), base)
        return
    if not _MAGIC.search(head):
        path = folder / head
        if os.path.lexists(path):
            yield from _below(path, rest, base) if rest else iter([path])
        return
    for name, is_dir in _readable_names(folder, base):
        if is_hidden(name) and not head.startswith("."):
            continue
        if fnmatch.fnmatchcase(name, head) and (is_dir or not rest):
            yield from _below(folder / name, rest, base) if rest else iter([folder / name])


def _at_any_depth(folder: Path, rest: Sequence[str], base: Path) -> Iterator[Path]:
    """Folders are passed over: what lies in them is matched itself. Links are not followed."""
    while rest[0] == "**" and len(rest) > 1:
        rest = rest[1:]
    yield from (path for path in _below(folder, rest, base) if not is_folder(path))
    for name, is_dir in _readable_names(folder, base):
        if is_dir and not is_hidden(name) and not (folder / name).is_symlink():
            yield from _at_any_depth(folder / name, rest, base)


def _readable_names(folder: Path, base: Path) -> Iterator[tuple[str, bool]]:
    check_depth(folder, base)
    try:
        yield from sorted_names(folder)
    except OSError:  # as a shell's glob: what cannot be looked into matches nothing
        return


def is_match(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Whether `matches` of a pattern with these parts gives what has these names, links aside."""
    if not parts or not names or len(names) > MAX_DEPTH + 1:  # deeper, `matches` looks at none
        return not parts and not names
    head, rest = parts[0], parts[1:]
    if head == "**":
        deeper = not is_hidden(names[0]) and is_match(parts, names[1:])
        return deeper or is_match(rest or ("*",), names)
    if not _MAGIC.search(head):
        return names[0] == head and is_match(rest, names[1:])
    seen = head.startswith(".") or not is_hidden(names[0])
    return seen and fnmatch.fnmatchcase(names[0], head) and is_match(rest, names[1:])
