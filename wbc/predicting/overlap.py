"""PATHs that name one file twice: two rows for one cell, which would be counted twice.

No file is remembered: each that is named by itself is held against the other PATHs as they were
typed. A glob is looked through only where a folder or another glob begins around or below it.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wbc.disk import is_folder
from wbc.errors import UserError
from wbc.predicting.found import Passed
from wbc.predicting.walking import base_of, is_match, is_pattern, matches


@dataclass(frozen=True, eq=False)
class _Given:
    """A PATH; `place` is where it begins, `parts` are a glob's below that, else none."""

    path: str
    place: Path
    parts: tuple[str, ...]

    def names(self, file: Path) -> bool:
        """Whether a file at or below `place` is one of the PATH's."""
        inner = file.relative_to(self.place).parts
        if not self.parts:
            return not inner or _is_taken(inner)
        if is_match(self.parts, inner):
            return True
        return (
            "**" not in self.parts
            and any(  # which passes over folders
                is_match(self.parts, inner[:end]) and _is_taken(inner[end:])
                for end in range(1, len(inner))
            )
        )


def check_once(paths: Sequence[str]) -> None:
    """Raises UserError where two of these PATHs name the same file; links are not looked through.

    A folder in another one is no mistake, since each folder is walked once.
    """
    starting = defaultdict[Path, list[_Given]](list)
    for one in map(_given, paths):
        starting[one.place].append(one)
    for one in [each for some in starting.values() for each in some]:
        for file in _named(one, starting):
            place = _place(file)
            around = (x for at in (place, *place.parents) for x in starting.get(at, ()))
            twice = next((x for x in around if x is not one and x.names(place)), None)
            if twice:
                raise UserError(
                    f"{file} would be judged and counted twice, for {one.path} and for"
                    f" {twice.path}; leave out one of the two, or name parts that lie apart."
                )


def _given(path: str) -> _Given:
    if not is_pattern(path):
        named = Path(path)
        return _Given(path, Path(os.path.realpath(path)) if is_folder(named) else _place(named), ())
    base = base_of(path)
    parts = Path(path).parts[len(Path(base).parts) :]
    return _Given(path, Path(os.path.realpath(base)), parts)


def _named(one: _Given, starting: dict[Path, list[_Given]]) -> Iterator[Path]:
    """The files that a PATH names by themselves: those in a folder are only walked."""
    if not one.parts:
        if not is_folder(one.place):
            yield Path(one.path)
        return
    others = (x for at in starting for x in starting[at] if x is not one)
    if any(_meet(one.place, x.place) and (x.parts or is_folder(x.place)) for x in others):
        yield from (path for path in matches(one.path) if not is_folder(path))


def _meet(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _place(file: Path) -> Path:
    """Where a file lies; if it is a link, it is itself and not what it leads to."""
    return Path(os.path.realpath(file.parent), file.name)


def _is_taken(inner: Sequence[str]) -> bool:
    return Passed().takes(PurePosixPath(*inner))
