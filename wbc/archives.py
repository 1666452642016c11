"""Safe unpacking of zip and tar archives that come from anywhere.

Nothing is written outside the target: names that lead elsewhere or too deep, links and devices are
refused by name. An archive that would fill the disk, or that grows as no collection of pictures
does (a decompression bomb), is refused before the limit is passed. What was written before a
refusal is removed again.
"""

import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from tqdm import tqdm

from wbc.depth import MAX_DEPTH
from wbc.disk import is_file
from wbc.errors import UserError, shown

MAX_DISK_SHARE = 0.95  # of the free disk space that an archive may fill
MAX_RATIO = 100  # unpacked / packed size; pictures reach 1 to 5, a bomb about 1000 and more
RATIO_FREE_BYTES = 256 * 2**20  # below this much the ratio does not matter
MAX_ENTRIES = 2_000_000
MAX_HEADER = 1 << 20  # bytes, of what a tar says of one file beside its size
_CHUNK = 1 << 20
ARCHIVE_NAME = re.compile(r"\.(zip|tar|tgz|tar\.\w+|rar|7z)$", re.IGNORECASE)
UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    LZMAError,
    EOFError,
    RuntimeError,  # encrypted, or NotImplementedError: a method that Python does not know
    LookupError,  # this and the next three: headers that zipfile and tarfile stumble over
    ValueError,
    ArithmeticError,
    struct.error,
    OSError,  # gzip and bz2 report damage so; also names that the file system cannot hold
)


class Member(tarfile.TarInfo):
    """A tar's member whose long name or PAX records, read whole by tarfile, fit into memory."""

    def _proc_gnulong(self, opened: tarfile.TarFile) -> tarfile.TarInfo:
        return self._sized()._proc_gnulong(opened)  # type: ignore[no-any-return]

    def _proc_pax(self, opened: tarfile.TarFile) -> tarfile.TarInfo:
        return self._sized()._proc_pax(opened)  # type: ignore[no-any-return]

    def _sized(self) -> Any:
        if self.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()


class _Opener(Protocol):
    def __call__(self) -> AbstractContextManager[IO[bytes]]: ...


@dataclass(frozen=True)
class _Entry:
    """One regular file in an archive; `size` is what its header says, in bytes."""

    name: str
    size: int
    open: _Opener


def is_archive(path: Path) -> bool:
    """Whether the file's content (not its name) is a zip or a tar that can be unpacked."""
    return is_file(path) and kind_of(path) != ""


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip or tar (plain, .gz, .bz2, .xz) into the new or empty folder `target`.

    Raises:
        UserError: no such archive, damaged, encrypted, a bomb, or an entry that would be written
            outside `target` or is no regular file.
    """
    kind = kind_of(archive)
    if not kind:
        raise UserError(
            f"{archive} was expected to be a zip or tar (.tar, .tar.gz, .tar.bz2, .tar.xz) but is"
            " not; unpack it yourself and give the folder instead."
        )
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise UserError(f"{archive}: {target} was expected to be empty but is not; remove it.")
    try:
        if kind == "zip":
            with zipfile.ZipFile(archive) as opened_zip:
                _write_all(_zip_entries(archive, opened_zip), archive, target)
        else:
            with tarfile.open(archive, "r:*", tarinfo=Member) as opened_tar:
                _write_all(_tar_entries(archive, opened_tar), archive, target)
    except UserError:
        shutil.rmtree(target, ignore_errors=True)
        raise
    except UNREADABLE as error:
        shutil.rmtree(target, ignore_errors=True)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{archive} cannot be unpacked ({reason}); fetch it again.") from None


def kind_of(path: Path) -> str:
    """zip | tar | "" by content; by the first bytes, for a tar may hold a zip at its end."""
    try:
        with path.open("rb") as file:
            if file.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):
                return "zip"
        with tarfile.open(path, "r:*", tarinfo=Member):
            return "tar"
    except UNREADABLE:
        return ""


def _zip_entries(archive: Path, opened: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in opened.infolist():
        name = zip_name(info)
        if name.endswith("/"):  # as is_dir does, which falls over an empty name
            continue
        if info.flag_bits & 0x1:
            raise UserError(
                f"{archive} is encrypted ({name!r}); unpack it with its password and give the"
                " folder instead."
            )
        file_type = stat.S_IFMT(info.external_attr >> 16)
        if file_type not in (0, stat.S_IFREG):
            raise _refused(archive, name, "is a link or device")

        def open_entry(info: zipfile.ZipInfo = info) -> IO[bytes]:
            return opened.open(info)

        yield _Entry(name, info.file_size, open_entry)


def zip_name(info: zipfile.ZipInfo) -> str:
    """The entry's name; UTF-8 without the flag for it (zips of many tools) is recognised."""
    name = info.orig_filename
    if not info.flag_bits & 0x800:
        # where it is another code page, cp437's reading is at least unambiguous
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.split("\0")[0].replace("\\", "/")


def _tar_entries(archive: Path, opened: tarfile.TarFile) -> Iterator[_Entry]:
    for member in opened:
        if member.isdir():
            continue
        if not member.isreg():
            raise _refused(
                archive, member.name, "is a link or device (`tar --dereference` packs files)"
            )

        def open_entry(member: tarfile.TarInfo = member) -> IO[bytes]:
            file = opened.extractfile(member)
            assert file is not None  # a regular file always opens
            return file

        yield _Entry(member.name, member.size, open_entry)


def _write_all(entries: Iterator[_Entry], archive: Path, target: Path) -> None:
    """Write every entry below `target`, counting bytes as they really come."""
    packed = max(archive.stat().st_size, 1)
    room = int(shutil.disk_usage(target).free * MAX_DISK_SHARE)
    written = 0
    progress: Any = tqdm(entries, desc=f"unpacking {archive.name}", unit=" files", disable=None)
    for num_entries, entry in enumerate(progress, start=1):
        total = written + entry.size
        if total > room:
            raise UserError(
                f"{archive} unpacks to more than the {room / 1e9:.1f} GB that may be filled here;"
                " free disk space first."
            )
        too_dense = total > RATIO_FREE_BYTES and total > MAX_RATIO * packed
        if too_dense or num_entries > MAX_ENTRIES:
            raise UserError(
                f"{archive} looks like a decompression bomb: {packed} bytes that unpack to more"
                f" than {total} bytes in {num_entries} files; unpack it yourself if you trust it."
            )
        path = target / _safe_name(archive, entry.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            output = path.open("xb")
        except FileExistsError:
            raise _refused(archive, entry.name, "occurs twice") from None
        with entry.open() as source, output:
            written += _copy(source, output, entry.size, archive, entry.name)


def _copy(source: IO[bytes], output: IO[bytes], size: int, archive: Path, name: str) -> int:
    """Copy an entry, never more than the size that its header names."""
    copied = 0
    while chunk := source.read(_CHUNK):
        copied += len(chunk)
        if copied > size:
            raise _refused(archive, name, "is longer than its header says")
        output.write(chunk)
    return copied


def _safe_name(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    drive = len(name) > 1 and name[1] == ":" and name[0].isalpha()
    if path.is_absolute() or drive or ".." in path.parts or not path.parts:
        raise _refused(archive, name, "would be written outside the folder")
    if len(path.parts) - 1 > MAX_DEPTH:
        raise UserError(
            f"{archive}: the entry {shown(name)} lies in more than {MAX_DEPTH} folders in each"
            " other, so nothing of it was unpacked; pack the pictures anew, in fewer folders."
        )
    return path


def _refused(archive: Path, name: str, reason: str) -> UserError:
    return UserError(
        f"{archive}: the entry {shown(name)} {reason}, so nothing of it was unpacked; unpack it"
        " yourself if you trust it and give the folder instead."
    )
