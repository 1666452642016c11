"""One file that is to be judged, how it is called in the output, and what is passed over."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from wbc.predicting.walking import is_hidden
from wbc.sources.incoming import IMAGE_SUFFIXES

MAX_BYTES: Final = 512 << 20  # of an encoded picture; 100 megapixels of RGBA without packing: 400


@dataclass(frozen=True)
class Found:
    """`name` is the output's; the bytes lie at `path` or come from `read`; else `problem`."""

    name: str
    path: Path | None = None
    read: Callable[[], bytes] | None = None
    problem: str = ""


@dataclass
class Passed:
    """Counts what lies in folders and archives and is not taken."""

    num_others: int = 0  # no image by the extension
    num_hidden: int = 0

    def takes(self, path: PurePosixPath) -> bool:
        """Whether a file counts as a picture; its path is relative to the folder or archive."""
        if any(map(is_hidden, path.parts)) and ".." not in path.parts:
            self.num_hidden += 1
            return False
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            self.num_others += 1
            return False
        return True


def joined(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name
