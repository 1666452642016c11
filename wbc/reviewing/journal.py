"""A person's answers, one line each in OUT/corrections.jsonl, on the disk before the next question.

The journal is only ever appended to. A line that a kill left unfinished is cut off by whoever
opens it next. What holds is found by reading it from the beginning: `undo` takes back the last
answer that was not yet taken back, `again` brings skipped cells back.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Final, Literal

from wbc import disk
from wbc.cells import CLASSES
from wbc.errors import UserError
from wbc.slides.reasons import OTHER

FILE: Final = "corrections.jsonl"
Action = Literal["accept", "relabel", "skip", "undo", "again"]
ANSWERS: Final = ("accept", "relabel", "skip")  # what undo takes back
LABELS: Final = (*CLASSES, OTHER)
_SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One line.

    cell: its name in OUT; sha256: of its file; label: a type or `other`, "" for skip; answer: what
    the model had said; slide, model, reviewer and time (ISO 8601, UTC) are for people.
    """

    action: str
    cell: str = ""
    sha256: str = ""
    label: str = ""
    answer: str = ""
    slide: str = ""
    model: str = ""
    reviewer: str = ""
    time: str = ""


class Journal:
    """The journal of OUT (`folder`), open for appending and held by this process alone."""

    def __init__(self, file: FileIO, entries: Sequence[Entry], folder: Path) -> None:
        self._file, self.folder = file, folder
        self.entries = list(entries)

    def append(self, entry: Entry) -> None:
        """Raises OSError, also where the disk is full; then nothing of the entry is kept."""
        end = self._file.seek(0, os.SEEK_END)
        rest = memoryview((json.dumps(asdict(entry)) + "\n").encode())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(end)
            raise
        self.entries.append(entry)


@contextlib.contextmanager
def opened(out: Path) -> Iterator[Journal]:
    """Raises UserError where another process holds it, or a line in it is damaged."""
    path = out / FILE
    try:
        file = path.open("ab+", buffering=0)
    except OSError as error:
        raise UserError(
            f"{path}, where answers are kept, cannot be written ({error.strerror}); mend that."
        ) from None
    with file:
        if not disk.lock(file):
            raise UserError(
                f"{out} is being reviewed already, by another `python -m wbc review`; use its page,"
                " or end it with Ctrl-C first."
            )
        entries, num_bytes = _parsed(path)
        file.truncate(num_bytes)
        yield Journal(file, entries, out)


def read(out: Path) -> list[Entry]:
    """All entries; [] where nobody has answered yet."""
    return _parsed(out / FILE)[0]


def stacked(entries: Sequence[Entry]) -> list[Entry]:
    """The answers that were not taken back, `skip` among them, in the order they were given."""
    stack: list[Entry] = []
    for entry in entries:
        if entry.action == "undo":
            if stack:
                stack.pop()
        elif entry.action == "again":
            stack = [each for each in stack if each.action != "skip"]
        else:
            stack.append(entry)
    return stack


def picture(sha256: str, cell: str) -> str:
    """What tells one picture from another: its digest, and the name only where there was no file.

    A name may come again with another picture, and a picture under another name: what is the third
    cell of a field today is the fourth when new code finds one more above it.
    """
    return sha256 or f"no file of {cell}"


def by_picture(entries: Sequence[Entry]) -> dict[str, Entry]:
    """{`picture`: the newest answer that holds}; `skip`, without a label, only if no other does."""
    found: dict[str, Entry] = {}
    for each in stacked(entries):
        name = picture(each.sha256, each.cell)
        if each.label or name not in found:
            found[name] = each
    return found


def _parsed(path: Path) -> tuple[list[Entry], int]:
    """The entries and how many bytes hold them; what follows the last line's end is unfinished."""
    data = path.read_bytes() if path.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    entries = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entries.append(_checked(Entry(**json.loads(line))))
        except (ValueError, TypeError, RecursionError):
            raise UserError(
                f"Line {number} of {path} is damaged, so it cannot be told which answers hold;"
                " mend or delete that line (the others are unharmed)."
            ) from None
    return entries, len(whole)


def _checked(entry: Entry) -> Entry:
    """Raises ValueError or TypeError where a field is none that a review writes: a cell with such a
    label would be in no percentage, a digest that is a pattern would name other pictures."""
    text = "".join(asdict(entry).values())
    text.encode()  # refuses half of a surrogate pair, which no file can hold
    known = entry.action in (*ANSWERS, "undo", "again") and entry.label in ("", *LABELS)
    if not known or not (entry.sha256 == "" or _SHA256.fullmatch(entry.sha256)) or "\0" in text:
        raise ValueError
    return entry
