"""The disk: files that are whole or not there, room reserved before it is needed."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import IO, Final

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# Libraries in C++ and Rust (safetensors) hand on the words of an OSError, but no number.
_FULL_WORDS: Final = re.compile(
    rf"No space left on device|Disk quota exceeded|os error ({errno.ENOSPC}|{errno.EDQUOT})\b"
)
_NO_RESERVING: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Replace a file's content; whatever happens, the file holds the old or the new, never a part.

    The new content lies beside it first, because a rename is atomic only within a file system.

    Raises:
        OSError: with the path, also where the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    with _named(path):
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # else a power cut could keep the rename without the bytes
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def lock(file: IO[bytes] | FileIO) -> bool:
    """Take an open file for this process alone until it is closed; False: another one has it.

    On a file system without locks it is taken without one.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def replace_folder(target: Path, new: Path) -> None:
    """`new` takes the place of `target`, if that is there; both on one file system.

    The old one is moved aside before it is removed, so no half of it is ever found there. It lies
    in .TARGET-before until the new one is there.
    """
    before = target.with_name(f".{target.name}-before")
    if target.exists():  # else a kill came between the renames
        shutil.rmtree(before, ignore_errors=True)
        target.replace(before)
    new.replace(target)
    shutil.rmtree(before, ignore_errors=True)


def reserve(path: Path) -> None:
    """Give every byte of a file its place on the disk; on a full disk the file is removed.

    A file of holes would be found too large only while it is written, through a memory map as a
    SIGBUS that kills the process without a word.

    Raises:
        OSError: with the path; the disk is full.
    """
    with _named(path), path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in _NO_RESERVING:
                path.unlink()
                raise


def is_full(error: BaseException) -> bool:
    """Whether the error, or one that it came from, says that there is no space or no quota left."""
    return any(_says_full(one) for one in _chain(error))


def full_sentence(error: BaseException, folders: Iterable[Path]) -> str:
    """What to do about a full disk.

    Args:
        folders: where the work writes to, for errors that do not name their file.
    """
    named = [Path(name).parent for one in _chain(error) if (name := _file_of(one))]
    free = {folder: _free_megabytes(folder) for folder in named or folders}
    where = min(free, key=lambda folder: free[folder])
    return (
        f"No space is left on the disk for {where} (free: {free[where]} MB, or a quota is used up);"
        " all that was finished is kept. Make room there (`python -m wbc clean` shows and removes"
        " what nobody needs; what lies in scratch/ belongs to stages that have not finished) and"
        " run the same command again (`dvc repro`), which goes on from there."
    )


def is_file(path: Path) -> bool:
    """As Path.is_file; also of a name that is longer than a file's can be, which raises there."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path | os.DirEntry[str]) -> bool:
    """As is_dir, links followed; also of what raises there: a link to itself, too long a name."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_refused(error: BaseException) -> bool:
    """Whether a file, which the error names, may not be used, by its rights or its disk's."""
    return isinstance(error, OSError) and bool(error.filename) and error.errno in _REFUSED


def refused_sentence(error: BaseException) -> str:
    """What to do about a file that may not or cannot be used, or is gone; "" for other errors."""
    if not isinstance(error, OSError) or not error.filename:
        return ""
    if is_refused(error):
        return (
            f"{error.filename} may not be used ({error.strerror}); give yourself the right to write"
            " there (chmod -R u+rwX, or a disk that is not read-only) and run the same command"
            " again."
        )
    if error.errno == errno.ENOENT:
        return (
            f"{error.filename} is not there; run `dvc repro`, which makes it anew, or `dvc"
            " checkout`, which brings it back where it was made before."
        )
    if error.errno == errno.ENAMETOOLONG:
        return (
            f"{_shortened(error.filename)} is longer than a name can be"
            f" ({len(os.fsencode(error.filename))} bytes; most disks take 255 between two slashes"
            " and 4,096 in all); name another one."
        )
    if error.errno == errno.EISDIR:
        return f"{error.filename} should be a file, but is a folder; move it away, or name a file."
    return ""


def _shortened(name: str | bytes | os.PathLike[str]) -> str:
    text = os.fsdecode(name)
    return text if len(text) <= 100 else f"{text[:40]} … {text[-20:]}"


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error on writing names no file by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _says_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return isinstance(error, Exception) and bool(_FULL_WORDS.search(str(error)))


def _file_of(error: BaseException) -> str:
    """The file that a full disk kept from being written, "" where the error does not name it."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return str(error.filename2 or error.filename or "")  # of two, the second is written
    return ""


def _free_megabytes(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free // 1_000_000
