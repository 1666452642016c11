"""Every mistake of the table, made for real: the sentence that its user sees."""

import pytest

from tests.mistakes import document, table
from tests.mistakes.scene import Mistake, Scene

ROWS = [row for rows in table.read().values() for row in rows]
MAKERS = table.makers()


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_mistake_is_answered_in_a_sentence(row: Mistake, scene: Scene) -> None:
    seen = MAKERS[row.name](scene)
    assert "Traceback" not in seen.text
    said = [line for line in seen.lines if row.pattern.search(line)]
    assert said, f"expected: {row.found} … {row.next}\nfound: {seen.text}"
    assert seen.status == row.status, seen.text
    if row.status == 1:  # a refusal to promote is no error of ours or theirs
        assert all(line.startswith("error: ") or "not become champion" in line for line in said)


def test_the_table_has_sixty_mistakes_and_says_what_to_do_about_each() -> None:
    names = [row.name for row in ROWS]
    assert len(names) >= 60
    assert len(set(names)) == len(names)
    assert set(names) == set(MAKERS)
    assert [row.name for row in ROWS if not row.found or (row.status and not row.next)] == []


def test_the_document_has_the_same_table() -> None:
    assert document.PATH.read_text(encoding="utf-8") == document.text()
