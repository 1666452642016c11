"""Which cells are of one slide: those of a folder, or of one name in the files' names."""

import logging
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from wbc.errors import UserError
from wbc.sources.incoming import clean_name

log = logging.getLogger(__name__)

FOLDERS, ONE = "folders", "one"
UNKNOWN: Final = "(no slide in the name)"


def slides_of(names: Sequence[str], folder: Path, rule: str) -> list[str]:
    """The slide of each cell, whose names are relative to `folder`.

    rule: `folders` (each folder in `folder` is a slide with all that lies below it; pictures in
    `folder` itself are one of its name), `one` (all is one slide), or a regular expression for the
    file's name, whose first parentheses hold the slide, as a source's `group_pattern`.

    Raises:
        UserError: the expression is none, has no parentheses or fits no name.
    """
    # An umlaut is one sign or, from macOS, two: the slide is the same.
    names = [unicodedata.normalize("NFC", name) for name in names]
    whole = clean_name(folder.resolve().name) or "slide"
    if rule == ONE:
        return [whole] * len(names)
    if rule == FOLDERS:
        parts = [PurePosixPath(name).parts for name in names]
        return [part[0] if len(part) > 1 else whole for part in parts]
    expression = compiled(rule)
    found = [expression.search(PurePosixPath(name).name) for name in names]
    num_missing = found.count(None)
    if names and num_missing == len(names):
        raise UserError(
            f"--slides {rule} fits no file name, for example not {PurePosixPath(names[0]).name};"
            " mend it, or use folders or one."
        )
    if num_missing:
        log.warning("%d file names tell no slide by %s; they are one by themselves.",
                    num_missing, rule)  # fmt: skip
    return [(match[1] or UNKNOWN) if match else UNKNOWN for match in found]


def compiled(rule: str) -> re.Pattern[str]:
    """Raises UserError where it is no regular expression with parentheses."""
    try:
        expression = re.compile(rule)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(
            f"--slides should be folders, one or a regular expression, but {rule} is none"
            f" ({error}); mend it."
        ) from None
    if not expression.groups:
        raise UserError(
            f"--slides {rule} was expected to hold the slide in parentheses, such as '^([^_]+)_';"
            " add them, or use folders or one."
        )
    return expression


def file_names(slides: Sequence[str]) -> dict[str, str]:
    """A name for each slide's page that any file system and address can hold, no two alike."""
    named: dict[str, str] = {}
    taken: set[str] = set()
    for slide in slides:
        stem = re.sub(r"[^a-zA-Z0-9_-]+", "-", slide).strip("-")[:80] or "slide"
        name, number = stem, 2
        while name.lower() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.lower())
        named[slide] = f"{name}.html"
    return named
