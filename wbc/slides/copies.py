"""Files with the same bytes in one slide: one picture, whose cells are counted once.

A picture that was saved again under another name, or that a link leads to, is no further cell: it
would move percentages, and make intervals narrower than what was met allows.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from wbc.digests import digest_of
from wbc.page import Block, Cell, Table, Text

log = logging.getLogger(__name__)


def copies_in(files: Mapping[str, Path], slides: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """{slide: {file that is left out: the first one with its bytes}}, for files in their order.

    slides: of each file. What is the same in several slides stays in each; a warning says how much.
    """
    firsts = defaultdict[str, dict[str, str]](dict)
    copies = defaultdict[str, dict[str, str]](dict)
    for name, digest in _digests(files).items():
        slide = slides[name]
        first = firsts[digest].setdefault(slide, name)
        if first != name:
            copies[slide][name] = first
    if copies:
        num_copies = sum(map(len, copies.values()))
        log.warning("%s to the byte in the same slide; each picture counts once.",
                    words(num_copies))  # fmt: skip
    num_elsewhere = sum(len(in_slides) > 1 for in_slides in firsts.values())
    if num_elsewhere:
        log.warning("Pictures that lie in several slides: %d; they count in each.", num_elsewhere)
    return dict(copies)


def words(number: int) -> str:
    return f"{number:,} cop{'ies' if number != 1 else 'y'}"


def listed(copies: Mapping[str, str]) -> list[Block]:
    """What the slide's page says of them."""
    if not copies:
        return []
    rows = [[Cell(name), Cell(first)] for name, first in copies.items()]
    return [
        Text(
            f"Copies, to the byte, of other files in this slide: {len(copies):,}. They are left out"
            " of all that stands here, so each picture is counted once."
        ),
        Table(["file", "copy of"], rows[:200], words=(1,), folded=f"The {words(len(copies))}"),
    ]


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Of the files that are as long as another one: no other can be a copy."""
    sizes = {name: _size(path) for name, path in files.items()}
    common = Counter(sizes.values())
    found = {name: digest_of(files[name]) for name, size in sizes.items() if common[size] > 1}
    return {name: digest for name, digest in found.items() if digest}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
