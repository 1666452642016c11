"""Which of a journal's answers still belong to the pictures that are there."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from wbc.digests import digest_of
from wbc.reviewing.journal import Entry, by_picture

log = logging.getLogger(__name__)


def answers(entries: Sequence[Entry], files: Mapping[str, Path]) -> dict[str, str]:
    """{cell: label} of the cells whose file has the bytes that a person saw, whatever it is called;
    a warning says how many answers are about none of them."""
    given = {digest: each.label for digest, each in by_picture(entries).items() if each.label}
    if not given:
        return {}
    digests = {cell: digest_of(path) for cell, path in files.items()}
    num_gone = len(given.keys() - set(digests.values()))
    if num_gone:
        log.warning(
            "%d of %d answers are left out: their pictures have gone or have changed since.",
            num_gone,
            len(given),
        )
    return {cell: given[digest] for cell, digest in digests.items() if digest in given}
