"""wbc.predicting.preparing: in order, in bounded memory, a reason for every file without pixels."""

import os
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from tests.wbc import pictures
from wbc.imaging import Framing, prepare
from wbc.predicting import preparing
from wbc.predicting.found import Found
from wbc.predicting.preparing import Ready, Task

FRAMING = Framing(32, "cell", 1.5)
CELL = pictures.encoded(pictures.cell())


def problem_of(found: Found) -> str:
    (ready,) = preparing.prepared([found], FRAMING)
    return ready.problem


def test_pixels_are_those_of_training() -> None:
    (ready,) = preparing.prepared([Found("a", read=lambda: CELL)], FRAMING)
    expected = prepare(CELL, FRAMING)
    assert ready.pixels is not None and np.array_equal(ready.pixels, expected.pixels)
    assert ready.located and expected.located and ready.problem == ""


def test_every_file_that_cannot_be_read_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.png").write_bytes(b"text")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    assert problem_of(Found("a", tmp_path / "gone.png")) == "No such file or directory"
    assert problem_of(Found("a", tmp_path / "text.png")) == "not an image"
    assert problem_of(Found("a", tmp_path / "empty.png")) == "empty file"
    assert problem_of(Found("a", tmp_path / "folder.png")) == "no regular file"
    assert problem_of(Found("a", tmp_path / "pipe.png")) == "no regular file"
    assert problem_of(Found("a", Path("nul\0.png"))) == "embedded null byte"
    assert problem_of(Found("a", problem="encrypted")) == "encrypted"
    monkeypatch.setattr(preparing, "MAX_BYTES", 3)
    assert problem_of(Found("a", tmp_path / "text.png")) == "larger than 0 MB"


def test_an_enormous_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    huge = bytearray(CELL)
    huge[16:24] = (40_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(bytes(huge))
    assert problem_of(Found("a", tmp_path / "huge.png")).startswith("too large")


def test_workers_give_the_same_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "cpu_count", lambda: 2)
    data = [pictures.encoded(pictures.cell(x=60 + 3 * number)) for number in range(30)]
    found = [Found(str(number), read=lambda one=one: one) for number, one in enumerate(data)]
    alone = list(preparing.prepared(found, FRAMING))
    spread = list(preparing.prepared(found, FRAMING, alone=8))
    assert [one.name for one in spread] == [str(number) for number in range(30)]
    for one, other in zip(alone, spread, strict=True):
        assert one.pixels is not None and np.array_equal(one.pixels, other.pixels)


def test_no_more_is_given_out_than_the_window() -> None:
    """However many there are and however slowly they are taken."""
    given, taken, most = 0, 0, 0

    def chunks() -> Iterator[list[Task]]:
        nonlocal given, most
        for number in range(200):
            given += 1
            most = max(most, given - taken)
            yield [Task(str(number))]

    def submit(chunk: list[Task]) -> "Future[list[Ready]]":
        done: Future[list[Ready]] = Future()
        done.set_result([Ready(chunk[0].name)])
        return done

    for _ in preparing.windowed(submit, chunks(), window=6):
        taken += 1
    assert taken == 200 and most <= 7


def test_files_are_asked_for_only_when_squares_are_taken() -> None:
    asked = 0

    def files() -> Iterator[Found]:
        nonlocal asked
        for number in range(10_000):
            asked += 1
            yield Found(str(number), problem="none")

    ready = preparing.prepared(files(), FRAMING, alone=20_000)
    for _ in range(100):
        next(ready)
    assert asked <= 100 + preparing.CHUNK


def test_a_task_carries_little_from_archives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "CHUNK_BYTES", 10)
    tasks = [Task(str(size), data=bytes(size)) for size in (4, 4, 4, 30, 1)]
    sizes = [[len(task.data or b"") for task in chunk] for chunk in preparing.chunked(tasks)]
    assert sizes == [[4, 4, 4], [30], [1]]
