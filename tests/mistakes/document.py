"""docs/mistakes.md from the table: python -m tests.mistakes.document > docs/mistakes.md"""

from typing import Final

from tests.mistakes import table
from tests.mistakes.scene import Mistake
from tests.pipeline.conftest import ROOT

PATH: Final = ROOT / "docs" / "mistakes.md"
BEFORE: Final = """\
# Mistakes and what is said about them

Each of these mistakes is made by a test (`tests/mistakes`), which looks for these words: what is
wrong, and what to do next. They stand in one sentence after `error: `, and the command ends with a
status that is not 0. Here is a part of each sentence; `…` stands for what differs by case. Search
this page for a word of what you see. A traceback is never the answer to a mistake: please report
it.

| command | status |
|---|---|
| `python -m wbc …`, a stage of the pipeline | 1 |
| a word or option that the command does not know | 2 |
| `make …` | 2 |
| `dvc …` | 255 |
"""
AFTER: Final = """
This page is written from `tests/mistakes/table.yaml`, and a test compares the two:

```bash
python -m tests.mistakes.document > docs/mistakes.md
```
"""


def text() -> str:
    parts = [_section(heading, rows) for heading, rows in table.read().items()]
    return "\n".join([BEFORE, *parts]) + AFTER


def _section(heading: str, rows: list[Mistake]) -> str:
    lines = [f"## {heading}", "", "| mistake | it says | what to do |", "|---|---|---|"]
    return "\n".join([*lines, *map(_row, rows), ""])


def _row(row: Mistake) -> str:
    remedy = _words(row.next) if row.next else "nothing: it works"
    return f"| {row.name} | {_words(row.found)} | {remedy} |"


def _words(text: str) -> str:
    """As code, so that no star or bracket is taken for Markdown."""
    return f"`` {text} ``".replace("|", r"\|")


if __name__ == "__main__":
    print(text(), end="")
