"""Which of a journal's answers still belong to the pictures that are there."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from wbc.reviewing.journal import Entry, by_picture

log = logging.getLogger(__name__)


def sha256_of(data: bytes | None) -> str:
    """In hexadecimal digits; "" of None."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def bytes_of(path: Path) -> bytes | None:
    """None where the file cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes; "" where it cannot be read."""
    return sha256_of(bytes_of(path))


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
