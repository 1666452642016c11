"""Which of a journal's answers still belong to the pictures that are there."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from wbc.reviewing.journal import Entry, labels

log = logging.getLogger(__name__)


def sha256_of(path: Path) -> str:
    """Of a file's bytes; "" where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def answers(entries: Sequence[Entry], files: Mapping[str, Path]) -> dict[str, str]:
    """{cell: label} of the cells whose file is the one that the person saw; a warning says how many
    others there are."""
    given = labels(entries)
    same = {
        cell: entry.label
        for cell, entry in given.items()
        if cell in files and sha256_of(files[cell]) == entry.sha256
    }
    if len(same) < len(given):
        log.warning(
            "%d of %d answers are left out: their pictures have gone or have changed since.",
            len(given) - len(same),
            len(given),
        )
    return same
