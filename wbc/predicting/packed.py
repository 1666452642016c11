"""Pictures in a zip or tar, read one by one where they lie: nothing is unpacked to the disk."""

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from wbc.archives import (
    MAX_ENTRIES,
    MAX_RATIO,
    RATIO_FREE_BYTES,
    UNREADABLE,
    Member,
    kind_of,
    zip_name,
)
from wbc.errors import UserError, one_line
from wbc.predicting.found import MAX_BYTES, Found, Passed, joined
from wbc.sources.incoming import clean_name

_ENCRYPTED: Final = 0x1


class Budget:
    """Stops at an archive that grows as no collection of pictures does; wbc.archives has the
    limits.

    Raises:
        UserError: it looks like a decompression bomb.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._packed = max(archive.stat().st_size, 1)
        self._num_entries = self._unpacked = 0

    def entry(self) -> None:
        self._num_entries += 1
        self._check()

    def read(self, num_bytes: int) -> None:
        self._unpacked += num_bytes
        self._check()

    def _check(self) -> None:
        dense = self._unpacked > max(RATIO_FREE_BYTES, MAX_RATIO * self._packed)
        if dense or self._num_entries > MAX_ENTRIES:
            raise UserError(
                f"{self._archive} looks like a decompression bomb: {self._packed} bytes that unpack"
                f" to more than {self._unpacked} bytes in {self._num_entries} files; unpack it"
                " yourself if you trust it and give the folder instead."
            )


def members(archive: Path, name: str, passed: Passed) -> Iterator[Found]:
    """The pictures of an archive in its own order; `read` of one works until the next is asked for.

    Where the archive breaks off, its own name with the reason stands for the rest. A zip says at
    once whether a name occurs twice; of a tar, which may have any length, no name is kept.

    Raises:
        UserError: a bomb, or a zip with a name that occurs twice.
    """
    entries = _zip if kind_of(archive) == "zip" else _tar
    try:
        yield from entries(archive, name, passed)
    except UNREADABLE as error:
        yield Found(name, problem=f"the archive cannot be read on ({one_line(error, 120)})")


def _zip(archive: Path, name: str, passed: Passed) -> Iterator[Found]:
    budget = Budget(archive)
    with zipfile.ZipFile(archive) as opened:
        _check_names(archive, opened)
        for info in opened.infolist():
            inner = zip_name(info)
            if inner.endswith("/"):  # as is_dir does, which falls over an empty name
                continue
            budget.entry()
            if not passed.takes(PurePosixPath(inner)):
                continue
            problem = _problem(inner, info.file_size)
            if info.flag_bits & _ENCRYPTED:
                problem = "encrypted"

            def read(info: zipfile.ZipInfo = info) -> bytes:
                with opened.open(info) as file:
                    data = file.read(MAX_BYTES)
                budget.read(len(data))
                return data

            yield Found(joined(name, clean_name(inner)), read=read, problem=problem)


def _check_names(archive: Path, opened: zipfile.ZipFile) -> None:
    """Raises UserError where a name occurs twice, as `wbc.archives.unpack` does."""
    for info in opened.infolist():
        if opened.getinfo(info.filename) is not info and not info.filename.endswith("/"):
            raise UserError(
                f"{archive}: the entry {zip_name(info)!r} occurs twice, and its pictures would be"
                " counted as two cells; unpack it yourself if you trust it and give the folder"
                " instead."
            )


def _tar(archive: Path, name: str, passed: Passed) -> Iterator[Found]:
    budget = Budget(archive)
    with tarfile.open(archive, "r:*", tarinfo=Member) as opened:
        remembered: list[tarfile.TarInfo] = vars(opened)["members"]
        while (member := opened.next()) is not None:
            remembered.clear()  # else tarfile keeps every member that it has read
            if member.isdir():
                continue
            budget.entry()
            if not passed.takes(PurePosixPath(member.name)):
                continue
            problem = _problem(member.name, member.size)
            if not member.isreg():
                problem = "a link or device in the archive"

            def read(member: tarfile.TarInfo = member) -> bytes:
                file = opened.extractfile(member)
                assert file is not None  # a regular file always opens
                data = file.read(MAX_BYTES)
                budget.read(len(data))
                return data

            yield Found(joined(name, clean_name(member.name)), read=read, problem=problem)


def _problem(inner: str, num_bytes: int) -> str:
    path = PurePosixPath(inner)
    drive = len(inner) > 1 and inner[1] == ":" and inner[0].isalpha()
    if path.is_absolute() or drive or ".." in path.parts:
        return "its name leads outside the archive"
    return f"larger than {MAX_BYTES >> 20} MB" if num_bytes > MAX_BYTES else ""
