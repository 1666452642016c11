"""SHA-256 of pictures: by it a person's answer stays with what was seen."""

import hashlib
from pathlib import Path


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
