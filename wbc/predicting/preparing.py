"""From files to squares of pixels: in this process at first, on all cores once there are many.

Never more than a window of files is in memory, however slowly squares are taken away.
"""

import stat
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray

from wbc.archives import UNREADABLE
from wbc.errors import UserError, one_line
from wbc.fields import Place
from wbc.imaging import Framing, UnreadableImage, prepare
from wbc.predicting.found import MAX_BYTES, Found
from wbc.predicting.workers import WorkerGone, workers

CHUNK: Final = 8  # files a task
CHUNK_BYTES: Final = 32 << 20  # from archives that a task carries at most, but for a larger file
ALONE: Final = 64  # files, a batch, before workers start
WAITING: Final = 3  # tasks a worker, under way or done and not taken
LEAST_WAITING: Final = 16  # twice a batch: one is made while another is judged


@dataclass(frozen=True)
class Task:
    """A file as it is sent to a worker: `data` where it came from an archive."""

    name: str
    path: str = ""
    data: bytes | None = None
    problem: str = ""


@dataclass(frozen=True)
class View:
    """A field as it is shown, `scale` times as large."""

    jpeg: bytes
    scale: float


@dataclass(frozen=True)
class Kept:
    """A field's cell as PNGs: `cut` out of the field, and as `seen` by the network."""

    cut: bytes
    seen: bytes


@dataclass(frozen=True)
class FieldCell:
    """A cell's number in its field, from 1 on, and where it lies; 0 and None for a field without.

    `view`: with the first cell of a field, if it is to be shown; `kept`: if pictures of the cell
    are to be kept.
    """

    number: int
    place: Place | None = None
    view: View | None = None
    kept: Kept | None = None


@dataclass(frozen=True)
class Ready:
    """A file as the network sees it; without pixels for the reason in `problem`."""

    name: str
    pixels: NDArray[np.uint8] | None = None
    located: bool = False
    problem: str = ""
    field: FieldCell | None = None
    last: bool = True  # of its file


Looking = Callable[[str, bytes, Framing], list[Ready]]  # name, encoded picture, framing


def one_cell(name: str, data: bytes, framing: Framing) -> list[Ready]:
    """The picture's one cell; raises UnreadableImage."""
    cell = prepare(data, framing)
    return [Ready(name, cell.pixels, cell.located)]


def prepared(
    found: Iterable[Found],
    framing: Framing,
    looking: Looking = one_cell,
    alone: int = ALONE,
    chunk_files: int = CHUNK,
) -> Generator[Ready, None, None]:
    """Every file in its order, all that `looking` makes of it.

    Raises:
        UserError: workers cannot be started, or one was killed.
    """
    chunks = chunked(map(task_of, found), chunk_files)
    num_files = 0
    for chunk in chunks:
        yield from prepare_chunk(chunk, framing, looking)
        num_files += len(chunk)
        if num_files >= alone and cpu_count() > 1:
            break
    following = next(chunks, None)
    if following is None:
        return
    try:
        with workers(partial(prepare_chunk, framing=framing, looking=looking)) as submit:
            window = max(WAITING * cpu_count(), LEAST_WAITING)
            yield from windowed(submit, chain([following], chunks), window)
    except WorkerGone:
        raise UserError(
            "A process that prepares pictures was killed from outside, most often for want of"
            " memory; free some and run the same command again, which goes on from there."
        ) from None


def windowed(
    submit: Callable[[list[Task]], Any], chunks: Iterable[list[Task]], window: int
) -> Iterator[Ready]:
    """Results in order, with at most `window` tasks given out whose results were not taken.

    joblib's own generator sends out tasks as workers get free, so a slow taker fills the memory.
    """
    given: deque[Any] = deque()
    for chunk in chunks:
        given.append(submit(chunk))
        while len(given) >= window:
            yield from given.popleft().result()
    while given:
        yield from given.popleft().result()


def chunked(tasks: Iterable[Task], num_files: int = CHUNK) -> Iterator[list[Task]]:
    chunk: list[Task] = []
    num_bytes = 0
    for task in tasks:
        chunk.append(task)
        num_bytes += len(task.data or b"")
        if len(chunk) == num_files or num_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk


def task_of(found: Found) -> Task:
    """The file with its bytes where an archive holds it: they must be read before the next one."""
    if found.problem or found.read is None:
        return Task(found.name, path=str(found.path or ""), problem=found.problem)
    try:
        return Task(found.name, data=found.read())
    except UNREADABLE as error:
        return Task(found.name, problem=f"damaged in the archive ({one_line(error, 120)})")


def prepare_chunk(chunk: list[Task], framing: Framing, looking: Looking) -> list[Ready]:
    return [ready for task in chunk for ready in _prepare(task, framing, looking)]


def _prepare(task: Task, framing: Framing, looking: Looking) -> list[Ready]:
    problem = task.problem
    if not problem:
        try:
            data = _bytes_of(Path(task.path)) if task.data is None else task.data
            return looking(task.name, data, framing)
        except UnreadableImage as error:
            problem = str(error) or "unknown"
        except OSError as error:  # its own text would name the path once more
            problem = error.strerror or "cannot be read"
        except ValueError as error:  # a name that no file system can hold
            problem = one_line(error, 120)
        except MemoryError:
            problem = "too large for the memory of this machine"
    return [Ready(task.name, problem=problem)]


def _bytes_of(path: Path) -> bytes:
    """Only of what is a file and small enough: a pipe would block, a film would fill the memory."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("no regular file")
    if status.st_size > MAX_BYTES:
        raise UnreadableImage(f"larger than {MAX_BYTES >> 20} MB")
    return path.read_bytes()
