"""One file that is to be judged, how it is called in the output, and what is passed over."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from wbc.predicting.walking import is_hidden
from wbc.sources.incoming import IMAGE_SUFFIXES

MAX_BYTES: Final = 512 << 20  # of an encoded picture; 100 megapixels of RGBA without packing: 400
_ODD: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


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


def clean_name(name: str) -> str:
    """The name as one line that UTF-8 can hold: other bytes and control characters become %XX."""
    return _ODD.sub(_escaped, name)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is no UTF-8
        return f"%{code - 0xDC00:02X}"
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def joined(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name
