"""Bytes that were right once: a few edits of valid files, which reach further than noise."""

import struct
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

_NUMBERS: Final = tuple(
    struct.pack(code, value)
    for code, values in {
        "B": (0, 1, 0x7F, 0xFF),
        "<H": (0, 0xFFFF),
        ">H": (0x7FFF,),
        "<I": (0, 0x7FFFFFFF, 0xFFFFFFFF),
        ">I": (1, 0x00FFFFFF, 0xFFFFFFFE),
        "<Q": (2**40, 2**63, 2**64 - 1),
    }.items()
    for value in values
)


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """One of `seeds` after up to five edits; `tokens` are bytes that mean something in its format.

    Most edits are near the beginning, where headers are, or the end, where zips have theirs.
    """
    data = bytearray(draw(st.sampled_from(seeds)))
    pieces = st.one_of(st.sampled_from([*_NUMBERS, *tokens]), st.binary(min_size=1, max_size=8))
    for _ in range(draw(st.integers(0, 5))):
        at = min(len(data), draw(_places(len(data))))
        what = draw(st.sampled_from(("flip", "put", "insert", "cut", "end", "again")))
        if what == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "put":
            piece = draw(pieces)
            data[at : at + len(piece)] = piece
        elif what == "insert":
            data[at:at] = draw(pieces)
        elif what == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif what == "end":
            del data[at:]
        elif what == "again":
            data[at:at] = data[at : at + draw(st.integers(1, 200))]
    return bytes(data)


def _places(size: int) -> st.SearchStrategy[int]:
    near = min(size, 200)
    return st.one_of(
        st.integers(0, near), st.integers(max(0, size - near), size), st.integers(0, size)
    )
