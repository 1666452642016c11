"""Whole numbers on the command line."""

import argparse


def positive(text: str) -> int:
    return _whole_number(text, 1)


def natural(text: str) -> int:
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, not {text!r}")
    return int(text)
