"""The questions and a person's answers to them, in order; no HTTP in here."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from wbc.digests import bytes_of, digest_of, sha256_of
from wbc.reviewing import answered
from wbc.reviewing.journal import ANSWERS, LABELS, Entry, Journal, by_picture, picture, stacked
from wbc.reviewing.queue import Queued, Run


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
        self._digests = [digest_of(Path(cell.file)) for cell in self.run.queue]

    def state(self) -> dict[str, Any]:
        """What the page shows: the question with its `index` and the `digest` of its picture's
        bytes (of the square's: `square`), None when all are answered, the same of the one after
        it, and the progress."""
        with self._lock:
            return self._state()

    def answer(self, index: int, action: str, digest: str, label: str = "") -> dict[str, Any]:
        """Record one answer and return the new state; the answer is on the disk then.

        action: accept, relabel (to `label`), skip, undo, again (ask the skipped ones once more);
        digest: of the picture that the person saw, as the question had it.
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
        data = bytes_of(Path(cell.file))
        self._digests[index] = digest = sha256_of(data)
        if digest != seen:
            raise Refused(CHANGED)
        if self._pictures()[index] in by_picture(self.journal.entries):
            raise Refused("This cell has been answered already.")
        if not digest and action != "skip":
            raise Refused("The picture has gone or cannot be read, so only skip is possible.")
        label = {"accept": cell.answer, "skip": ""}.get(action, label)
        if label and action == "relabel" and label == cell.answer:
            action = "accept"
        if label and cell.seen and data is not None:
            answered.keep(self.journal.folder, digest, data)
        return Entry(action, cell.name, digest, label, cell.answer, cell.slide,
                     self.run.models[0], self.reviewer, self.clock())  # fmt: skip

    def _pictures(self) -> list[str]:
        cells = zip(self._digests, self.run.queue, strict=True)
        return [picture(digest, cell.name) for digest, cell in cells]

    def _can_undo(self) -> bool:
        """The last answer is about a picture that this page shows."""
        stack = stacked(self.journal.entries)
        return bool(stack) and picture(stack[-1].sha256, stack[-1].cell) in self._pictures()

    def _state(self) -> dict[str, Any]:
        given = by_picture(self.journal.entries)
        questions = self._next_questions(given)
        mine = [given[each] for each in self._pictures() if each in given]
        return {
            "total": len(self.run.queue),
            "answered": sum(bool(entry.label) for entry in mine),
            "skipped": sum(not entry.label for entry in mine),
            "undo": self._can_undo(),
            "question": questions[0] if questions else None,
            "following": questions[1] if len(questions) > 1 else None,
        }

    def _next_questions(self, given: Mapping[str, Entry]) -> list[dict[str, Any]]:
        """At most two, about the pictures as they are now: one that was exchanged is asked anew."""
        found: list[dict[str, Any]] = []
        for index, known in enumerate(self._pictures()):
            if known in given:
                continue
            cell = self.run.queue[index]
            self._digests[index] = digest = digest_of(Path(cell.file))
            if picture(digest, cell.name) not in given:
                found.append(self._question(index))
            if len(found) == 2:
                break
        return found

    def _question(self, index: int) -> dict[str, Any]:
        cell: Queued = self.run.queue[index]
        shown = {
            name: value for name, value in asdict(cell).items() if name not in ("file", "seen")
        }
        digest = self._digests[index]
        square = digest_of(Path(cell.seen)) if cell.seen else digest
        return {"index": index, "digest": digest, "square": square, **shown}
