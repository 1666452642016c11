"""The unfinished output: OUT.part, and OUT.part.json that says how much of it holds.

After each batch the rows are on the disk before the record that counts them is replaced. Whatever
ends the process, the next one cuts OUT.part to the bytes on record and goes on from there.
"""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Final

from wbc.disk import lock, write_whole
from wbc.errors import UserError
from wbc.processes import waiting

_ANEW: Final = "add --restart to begin anew"


@dataclass(frozen=True)
class State:
    """What is done.

    `files` have `rows`: one each or, of fields, one a cell; `names`: chained SHA-256 over the names
    of the files; `run`: what must be the same for the rest (model, settings, code), each with the
    words for it; `replaces`: an OUT that was there when the run began is to be replaced.
    """

    run: dict[str, str]
    replaces: bool = False
    rows: int = 0
    files: int = 0
    bytes: int = 0
    names: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    def after(
        self, names: Sequence[str], num_bytes: int, counts: Counter[str], num_rows: int
    ) -> "State":
        return replace(
            self,
            rows=self.rows + num_rows,
            files=self.files + len(names),
            bytes=self.bytes + num_bytes,
            names=chained(self.names, names),
            counts=dict(Counter(self.counts) + counts),
        )


def chained(before: str, names: Sequence[str]) -> str:
    """The digest of all names up to these, from that of those before them."""
    for name in names:
        before = hashlib.sha256(f"{before}\n{name}".encode()).hexdigest()
    return before


class Part:
    """OUT.part, open and locked; `state` is what of it holds."""

    def __init__(self, file: FileIO, out: Path, state: State) -> None:
        self._file, self._out, self.state = file, out, state

    def append(
        self, data: bytes, names: Sequence[str], counts: Counter[str], num_rows: int | None = None
    ) -> None:
        """The rows of the files with these names: one each, or `num_rows` in all.

        Raises OSError, also where the disk is full; what was there before still holds.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())
        state = self.state.after(
            names, len(data), counts, len(names) if num_rows is None else num_rows
        )
        with waiting.held():  # else a signal in between would tell of fewer rows than are on record
            _record(self._out, state)
            self.state = state

    def finish(self, whole: Path | None = None) -> None:
        """OUT.part, or the file made from it, becomes OUT."""
        part = part_path(self._out)
        (whole or part).replace(self._out)
        part.unlink(missing_ok=True)
        record_path(self._out).unlink(missing_ok=True)


def part_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def record_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.part.json")


@contextlib.contextmanager
def opened(out: Path, run: dict[str, str], restart: bool) -> Iterator[Part]:
    """The unfinished output of the same run, or a new one.

    Raises:
        UserError: OUT is there; what is unfinished is of another run, or is being written now.
    """
    known = None if restart else _known(out)
    if out.exists() and not restart and not (known and known.replaces):
        if not part_path(out).exists():  # of one that was killed when all was done
            record_path(out).unlink(missing_ok=True)
        raise UserError(
            f"{out} is there already; name another --out, or replace it with --restart."
        )
    if known:
        _check_same(out, known, run)
    with part_path(out).open("ab", buffering=0) as file:
        if not lock(file) or not _is_at(file, part_path(out)):
            raise UserError(
                f"Another process is writing {part_path(out)}; wait for it, or name another --out."
            )
        state = known or State(run, replaces=out.exists())
        if file.seek(0, os.SEEK_END) < state.bytes:
            raise UserError(f"{part_path(out)} lost rows that were in it; {_ANEW}.")
        file.truncate(state.bytes)
        if not known:
            _record(out, state)
        yield Part(file, out, state)


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether the open file still has that name: another process may have finished it since."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _known(out: Path) -> State | None:
    """What an earlier run left, None if nothing; raises UserError where that cannot be told."""
    part = part_path(out)
    if not part.exists():
        return None
    try:
        return _checked(State(**json.loads(record_path(out).read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, RecursionError):
        if part.stat().st_size == 0:  # killed before the first record
            return None
        raise UserError(
            f"{part_path(out)} is there without a readable {record_path(out).name} beside it, so it"
            f" cannot be continued; {_ANEW}."
        ) from None


def _checked(state: State) -> State:
    """Raises ValueError where a record holds what no run writes."""
    if not (isinstance(state.run, dict) and isinstance(state.names, str)):
        raise ValueError
    if not isinstance(state.counts, dict):
        raise ValueError
    numbers = (state.rows, state.files, state.bytes, *state.counts.values())
    if not all(isinstance(each, int) and each >= 0 for each in numbers):
        raise ValueError
    return state


def _check_same(out: Path, known: State, run: dict[str, str]) -> None:
    other = [words for words in run if known.run.get(words) != run[words]]
    if other:
        raise UserError(
            f"{part_path(out)} has {known.rows} rows that were made with another"
            f" {' and another '.join(other)}; go on with the same, or {_ANEW}."
        )


def _record(out: Path, state: State) -> None:
    write_whole(record_path(out), json.dumps(asdict(state)).encode())
