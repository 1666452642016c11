"""Arguments that several commands share."""

import argparse
from typing import Final

CHAMPION: Final = "models:/wbc-classifier@champion"


def add_model(parser: argparse.ArgumentParser, more: str = "") -> None:
    """`--model`, which is the champion unless given; `more`: what else the command takes."""
    either = "," if more else " or"
    parser.add_argument(
        "--model",
        default=CHAMPION,
        help=f"a version in the registry (default %(default)s){either} a folder such as"
        f" models/googlenet{more}",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU where there is one"
    )
