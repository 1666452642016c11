"""wbc.predicting.part: what is on the disk is what the record says, whenever the process ends."""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from wbc.errors import UserError
from wbc.predicting import part
from wbc.predicting.part import opened, part_path, record_path
from wbc.processes import signals_raise

RUN = {"model": "one", "--uncertain-below": "0.5"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.csv"


def begin(out: Path, run: dict[str, str] = RUN, restart: bool = False) -> None:
    with opened(out, run, restart) as begun:
        begun.append(b"first\n", ["a"], Counter(monocyte=1))


def test_an_append_that_was_broken_off_is_cut_away(out: Path, monkeypatch: object) -> None:
    begin(out)
    with part_path(out).open("ab") as file:
        file.write(b"secon")  # killed before the record
    with opened(out, RUN, restart=False) as again:
        assert again.state.rows == 1
        assert part_path(out).read_bytes() == b"first\n"
        again.append(b"second\n", ["b"], Counter(monocyte=2))
        assert again.state.counts == {"monocyte": 3}
        again.finish()
    assert out.read_bytes() == b"first\nsecond\n"
    assert list(out.parent.iterdir()) == [out]


def test_a_full_disk_leaves_what_was_there(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(out)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with opened(out, RUN, restart=False) as again:
        monkeypatch.setattr(part, "write_whole", full)
        with pytest.raises(OSError, match="No space"):
            again.append(b"second\n", ["b"], Counter())
    monkeypatch.undo()
    with opened(out, RUN, restart=False) as again:
        assert part_path(out).read_bytes() == b"first\n"


def test_rows_reach_the_disk_before_the_record(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: order.append("rows") or fsync(number))
    monkeypatch.setattr(part, "write_whole", lambda *_: order.append("record"))
    begin(out)
    assert order == ["record", "rows", "record"]


def test_a_signal_finds_as_many_rows_as_are_on_record(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = part.write_whole

    def then_a_signal(path: Path, content: bytes) -> None:
        write(path, content)
        os.kill(os.getpid(), signal.SIGTERM)

    with signals_raise(), opened(out, RUN, restart=False) as begun:
        monkeypatch.setattr(part, "write_whole", then_a_signal)
        with pytest.raises(SystemExit):
            begun.append(b"first\n", ["a"], Counter())
        assert begun.state.rows == json.loads(record_path(out).read_text())["rows"] == 1


def test_another_model_does_not_continue(out: Path) -> None:
    begin(out)
    with (
        pytest.raises(UserError, match="1 rows that were made with another model; go on"),
        opened(out, RUN | {"model": "two"}, restart=False),
    ):
        pass
    begin(out, RUN | {"model": "two"}, restart=True)
    assert part_path(out).read_bytes() == b"first\n"


def test_a_finished_file_is_replaced_only_on_request(out: Path) -> None:
    out.write_bytes(b"old")
    with pytest.raises(UserError, match="is there already"):
        begin(out)
    begin(out, restart=True)
    assert out.read_bytes() == b"old"
    with opened(out, RUN, restart=False) as again:  # what --restart began goes on without it
        assert again.state.rows == 1
        again.finish()
    assert out.read_bytes() == b"first\n"


def test_a_part_that_cannot_be_continued_is_one_sentence(out: Path) -> None:
    begin(out)
    part_path(out).write_bytes(b"fir")
    with pytest.raises(UserError, match="lost rows that were in it"):
        begin(out)
    record_path(out).write_bytes(b"{")
    with pytest.raises(UserError, match="without a readable"):
        begin(out)
    begin(out, restart=True)


@pytest.mark.parametrize(
    "odd",
    [{"run": 5}, {"rows": "x"}, {"rows": None}, {"bytes": -3}, {"names": 1}, {"counts": [1]},
     {"counts": {"monocyte": "x"}}, "[" * 100_000],
)  # fmt: skip
def test_a_record_that_no_run_writes_is_none(out: Path, odd: Any) -> None:
    begin(out)
    known = json.loads(record_path(out).read_text())
    record_path(out).write_text(odd if isinstance(odd, str) else json.dumps(known | odd))
    with pytest.raises(UserError, match="without a readable"):
        begin(out)
    assert part_path(out).read_bytes() == b"first\n"


def test_killed_before_the_first_record(out: Path) -> None:
    part_path(out).write_bytes(b"")
    begin(out)
    assert json.loads(record_path(out).read_bytes())["rows"] == 1


def test_two_processes_do_not_write_one_file(out: Path) -> None:
    with (
        opened(out, RUN, restart=False),
        pytest.raises(UserError, match="Another process is writing"),
    ):
        begin(out, restart=True)


def test_the_record_of_one_that_was_killed_when_all_was_done_goes(out: Path) -> None:
    begin(out)
    part_path(out).replace(out)  # and then SIGKILL
    assert record_path(out).is_file()
    with pytest.raises(UserError, match="is there already"):
        begin(out)
    assert out.read_bytes() == b"first\n" and not record_path(out).exists()
