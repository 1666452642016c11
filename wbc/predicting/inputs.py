"""From the PATHs of the command line to the files to judge, one after the other.

What is named (as PATH, by a glob, on stdin) is taken whatever it is called; of what lies in a
folder or an archive, files with an image's extension are, hidden ones are not. Archives within
folders and archives are not opened.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from wbc.archives import ARCHIVE_NAME, is_archive
from wbc.depth import MAX_DEPTH, is_too_deep
from wbc.disk import is_folder
from wbc.errors import UserError
from wbc.predicting.found import Found, Passed, joined
from wbc.predicting.overlap import check_once
from wbc.predicting.packed import members
from wbc.predicting.walking import Identity, base_of, is_hidden, is_pattern, matches, sorted_names
from wbc.sources.incoming import IMAGE_SUFFIXES, clean_name

STDIN: Final = "-"


class Inputs:
    """All that PATHs name; `passed` counts, once iterated, what was not taken."""

    def __init__(self, paths: Sequence[str], lines: Iterable[bytes]) -> None:
        self.passed = Passed()
        self._paths, self._lines = paths, lines
        self._seen: set[Identity] = set()  # folders walked: a link may lead back to one

    def check(self) -> None:
        """Raises UserError where a PATH is not there or holds no picture, or where two name the
        same file; stdin is not read."""
        for path in self._paths:
            if path == STDIN:
                continue
            if not is_pattern(path) and not os.path.lexists(path):
                raise UserError(
                    f"{path} was expected to be a file or folder but is not there; look at its"
                    " spelling, and at the folder that the command is started in."
                )
            named = Path(path)
            if ARCHIVE_NAME.search(path) and named.is_file() and not is_archive(named):
                raise UserError(
                    f"{path} was expected to be a zip or tar, as its name says, but is none; bring"
                    " it anew, or unpack it yourself and name the folder."
                )
            first = next(iter(Inputs([path], ())), None)
            if first is None:
                raise UserError(_nothing(path))
        check_once([path for path in self._paths if path != STDIN])

    def __iter__(self) -> Iterator[Found]:
        for path, name in zip(self._paths, names_of(self._paths), strict=True):
            if path == STDIN:
                for line in self._lines:
                    if text := os.fsdecode(line.rstrip(b"\r\n")):
                        yield from self._named(Path(text), clean_name(text))
            elif is_pattern(path):
                base = base_of(path)
                for match in matches(path):
                    inner = clean_name(match.relative_to(base).as_posix())
                    yield from self._named(match, joined(name, inner))
            else:
                yield from self._named(Path(path), name)

    def _named(self, path: Path, name: str) -> Iterator[Found]:
        if is_folder(path):
            yield from self._walked(path, name, path)
        elif path.suffix.lower() not in IMAGE_SUFFIXES and is_archive(path):
            yield from members(path, name, self.passed)
        else:
            yield Found(name, path)

    def _walked(self, folder: Path, name: str, top: Path) -> Iterator[Found]:
        """Every picture below a folder that lies in `top`, links followed, each folder once."""
        if is_too_deep(folder, top):
            yield Found(name, problem=f"the folder lies in more than {MAX_DEPTH} others")
            return
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in self._seen:
                return
            self._seen.add(identity)
            for entry, is_dir in sorted_names(folder):
                inner = joined(name, clean_name(entry))
                if is_dir:
                    if not is_hidden(entry):
                        yield from self._walked(folder / entry, inner, top)
                elif self.passed.takes(PurePosixPath(entry)):
                    yield Found(inner, folder / entry)
        except OSError as error:
            yield Found(name or ".", problem=f"the folder cannot be read ({error.strerror})")


def names_of(paths: Sequence[str]) -> list[str]:
    """What the names of each PATH's files begin with: relative, whatever was typed.

    PATHs below the current folder are called as they were typed. If one is absolute or leads out
    of it, all are named from the folder that holds all of them.
    """
    bases = [base_of(path) if is_pattern(path) else path for path in paths]
    real = [base for base in bases if base != STDIN]
    if any(Path(base).is_absolute() or os.path.normpath(base).startswith("..") for base in real):
        full = {base: os.path.abspath(base) for base in real}  # noqa: PTH100 - links stay as they are
        common = os.path.commonpath([os.path.dirname(path) for path in full.values()])  # noqa: PTH120
        short = {base: os.path.relpath(path, common) for base, path in full.items()}
    else:
        short = {base: os.path.normpath(base) for base in real}
    texts = [short.get(base, ".") for base in bases]
    return ["" if text == "." else clean_name(Path(text).as_posix()) for text in texts]


def _nothing(path: str) -> str:
    if is_pattern(path):
        return (
            f"Nothing matches {path}; look at its spelling, and quote a glob, so that it is"
            " expanded here, `**` too."
        )
    suffixes = " ".join(sorted(IMAGE_SUFFIXES - {".gif"}))
    return (
        f"{path} holds no picture (known by {suffixes}); name another folder, or"
        " the files themselves, which are taken whatever they are called."
    )
