"""Whole numbers on the command line."""

import argparse
from typing import Final

from wbc.errors import shown

MOST: Final = 2**31 - 1  # as of `seed` in params.yaml


def positive(text: str) -> int:
    return _whole_number(text, 1)


def natural(text: str) -> int:
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    digits = len(str(MOST))
    if not text.isdecimal() or len(text) > digits or not least <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {least} to {MOST}, not {shown(text)}"
        )
    return int(text)
