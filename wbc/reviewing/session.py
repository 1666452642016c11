"""The questions and a person's answers to them, in order; no HTTP in here."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from wbc.cells import CLASSES
from wbc.reviewing.answers import sha256_of
from wbc.reviewing.journal import ANSWERS, Entry, Journal, holding, stacked
from wbc.reviewing.queue import Queued, Run
from wbc.slides.reasons import OTHER

LABELS: Final = (*CLASSES, OTHER)


class Refused(Exception):  # noqa: N818 - an answer that is not taken, with the reason
    """Nothing was recorded; the message says why."""


CHANGED: Final = "The picture has changed; look again."


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class Session:
    """Every method is safe from several threads: a browser asks for pictures in parallel."""

    run: Run
    journal: Journal
    reviewer: str
    clock: Callable[[], str] = now

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._digests = [sha256_of(Path(cell.file)) for cell in self.run.queue]

    def state(self) -> dict[str, Any]:
        """What the page shows: the question with its `index` and the `digest` of its picture's
        bytes (of the square's: `square`), None when all are answered, the same of the one after
        it, and the progress."""
        with self._lock:
            return self._state()

    def answer(self, index: int, action: str, digest: str, label: str = "") -> dict[str, Any]:
        """Record one answer and return the new state; the answer is on the disk then.

        digest: of the picture that the person saw, as the question had it; action: accept, relabel (to `label`), skip, undo, again (ask the skipped ones once more).
        A label that is the model's own counts as accept.

        Raises:
            Refused: no such action, label or question, it has been answered, its file has gone or
                is another than was seen.
            OSError: it cannot be written.
        """
        with self._lock:
            if action in ("undo", "again"):
                if action == "undo" and not self._can_undo():
                    raise Refused("There is nothing to take back.")
                self.journal.append(Entry(action, reviewer=self.reviewer, time=self.clock()))
            else:
                self.journal.append(self._entry(index, action, digest, label))
            return self._state()

    def _entry(self, index: int, action: str, seen: str, label: str) -> Entry:
        if action not in ANSWERS or (action == "relabel" and label not in LABELS):
            raise Refused("This is no answer that there is.")
        if not 0 <= index < len(self.run.queue):
            raise Refused("There is no such cell.")
        cell = self.run.queue[index]
        if cell.name in self._given():
            raise Refused("This cell has been answered already.")
        self._digests[index] = digest = sha256_of(Path(cell.file))
        if digest != seen:
            raise Refused(CHANGED)
        if not digest and action != "skip":
            raise Refused("The picture has gone or cannot be read, so only skip is possible.")
        label = {"accept": cell.answer, "skip": ""}.get(action, label)
        if label and action == "relabel" and label == cell.answer:
            action = "accept"
        return Entry(action, cell.name, digest, label, cell.answer, cell.slide,
                     self.run.models[0], self.reviewer, self.clock())  # fmt: skip

    def _given(self) -> dict[str, Entry]:
        """Answers about the pictures as they are: one that was exchanged is asked anew."""
        holds = holding(self.journal.entries)
        return {
            cell.name: holds[cell.name]
            for cell, digest in zip(self.run.queue, self._digests, strict=True)
            if cell.name in holds and holds[cell.name].sha256 == digest
        }

    def _can_undo(self) -> bool:
        """The last answer is about a cell that this page shows."""
        stack = stacked(self.journal.entries)
        return bool(stack) and stack[-1].cell in {cell.name for cell in self.run.queue}

    def _state(self) -> dict[str, Any]:
        questions = self._next_questions()
        given = self._given()
        mine = [given[cell.name] for cell in self.run.queue if cell.name in given]
        return {
            "total": len(self.run.queue),
            "answered": sum(bool(entry.label) for entry in mine),
            "skipped": sum(not entry.label for entry in mine),
            "undo": self._can_undo(),
            "question": questions[0] if questions else None,
            "following": questions[1] if len(questions) > 1 else None,
        }

    def _next_questions(self) -> list[dict[str, Any]]:
        """At most two, about the pictures as they are now."""
        found: list[dict[str, Any]] = []
        for index, cell in enumerate(self.run.queue):
            if len(found) < 2 and cell.name not in self._given():
                self._digests[index] = sha256_of(Path(cell.file))
                if cell.name not in self._given():
                    found.append(self._question(index))
        return found

    def _question(self, index: int) -> dict[str, Any]:
        cell: Queued = self.run.queue[index]
        shown = {
            name: value for name, value in asdict(cell).items() if name not in ("file", "seen")
        }
        digest = self._digests[index]
        square = sha256_of(Path(cell.seen)) if cell.seen else digest
        return {"index": index, "digest": digest, "square": square, **shown}
