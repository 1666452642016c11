"""The journal of a person's answers."""

import errno
import json
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from wbc.digests import sha256_of
from wbc.errors import UserError
from wbc.reviewing import journal
from wbc.reviewing.journal import Entry, by_picture


def given(cell: str, label: str) -> Entry:
    return Entry("relabel" if label else "skip", cell, sha256_of(cell.encode()), label)


def test_undo_takes_back_the_last_and_again_brings_skipped_ones_back() -> None:
    entries = [given("a", "monocyte"), given("b", ""), given("c", "basophil")]
    assert holding(entries) == {"a": "monocyte", "b": "", "c": "basophil"}
    undone = [*entries, Entry("undo"), Entry("undo")]
    assert holding(undone) == {"a": "monocyte"}
    assert holding([*undone, Entry("undo"), Entry("undo")]) == {}
    assert list(holding([*entries, Entry("again")])) == ["a", "c"]
    assert holding([*undone, given("a", "other")]) == {"a": "other"}


def holding(entries: list[Entry]) -> dict[str, str]:
    return {entry.cell: entry.label for entry in by_picture(entries).values()}


def test_answers_are_about_pictures_whatever_they_are_called() -> None:
    first, moved = Entry("relabel", "a", "1", "monocyte"), Entry("relabel", "b", "1", "basophil")
    assert by_picture([first, moved]) == {"1": moved}
    other = Entry("relabel", "a", "2", "other")
    assert by_picture([first, other]) == {"1": first, "2": other}
    assert by_picture([first, Entry("skip", "b", "1")]) == {"1": first}
    gone = [Entry("skip", "a"), Entry("skip", "b")]  # no file, so no digest
    assert list(by_picture(gone).values()) == gone


def test_what_is_appended_is_there_for_the_next(tmp_path: Path) -> None:
    with journal.opened(tmp_path) as first:
        first.append(given("a ", "monocyte"))
        assert journal.read(tmp_path) == first.entries
        with (
            pytest.raises(UserError, match="is being reviewed already"),
            journal.opened(tmp_path),
        ):
            pass
    with journal.opened(tmp_path) as second:
        second.append(given("b", ""))
    assert [entry.cell for entry in journal.read(tmp_path)] == ["a ", "b"]


def test_a_line_that_a_kill_left_unfinished_is_cut_off(tmp_path: Path) -> None:
    with journal.opened(tmp_path) as first:
        first.append(given("a", "monocyte"))
    path = tmp_path / journal.FILE
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-9])
    assert len(journal.read(tmp_path)) == 1
    with journal.opened(tmp_path) as second:
        second.append(given("b", "basophil"))
    assert [entry.cell for entry in journal.read(tmp_path)] == ["a", "b"]


def test_a_damaged_line_is_named_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / journal.FILE).write_text('{"action": "accept"}\nnonsense\n{"action": "undo"}\n')
    with pytest.raises(UserError, match=r"Line 2 of .* is damaged"):
        journal.read(tmp_path)


@pytest.mark.parametrize(
    "odd",
    [{"label": "Monocyte"}, {"label": 5}, {"label": None}, {"sha256": ["x"]}, {"sha256": "*"},
     {"sha256": "AB" * 32}, {"slide": 7}, {"slide": "\ud800"}, {"cell": "a\0"},
     {"action": "delete"}, {"time": {}}],
)  # fmt: skip
def test_a_field_that_no_review_writes_is_damage_and_no_cell_that_is_lost(
    tmp_path: Path, odd: dict[str, Any]
) -> None:
    good = {"action": "accept", "cell": "a", "sha256": "ab" * 32, "label": "monocyte"}
    path = tmp_path / journal.FILE
    path.write_text(json.dumps(good) + "\n")
    assert journal.read(tmp_path) == [Entry(**good)]
    path.write_text(json.dumps(good | odd) + "\n")
    with pytest.raises(UserError, match=r"Line 1 of .* is damaged"):
        journal.read(tmp_path)


def test_a_line_that_is_nested_too_deeply_is_damage(tmp_path: Path) -> None:
    (tmp_path / journal.FILE).write_text("[" * 100_000 + "\n")
    with pytest.raises(UserError, match=r"Line 1 of .* is damaged"):
        journal.read(tmp_path)


def test_an_answer_that_cannot_be_written_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with journal.opened(tmp_path) as first:
        first.append(given("a", "monocyte"))

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(journal.os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                first.append(given("b", "basophil"))
        first.append(given("c", "other"))
        assert isinstance(first._file, FileIO)
    assert [entry.cell for entry in journal.read(tmp_path)] == ["a", "c"]
