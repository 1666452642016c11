"""`adapt`: a model for another laboratory."""

import argparse
from typing import Any

from wbc.commands.numbers import natural, positive


def add(commands: Any) -> None:
    adapt = commands.add_parser(
        "adapt", help="fine-tune a model with a few labelled cells of another laboratory"
    )
    adapt.add_argument("set", help="the laboratory: name of an external source in data/pixels")
    adapt.add_argument(
        "--model",
        default="models:/wbc-classifier@challenger",
        help="what to start from: a version in the registry (default %(default)s)"
        " or a folder such as models/googlenet",
    )
    adapt.add_argument(
        "--per-class", type=positive, default=20, help="labelled cells of each class (default 20)"
    )
    adapt.add_argument("--seed", type=natural, default=1, help="which cells are drawn (default 1)")
    adapt.add_argument("--epochs", type=positive, help="of training; default: the recipe's")
    adapt.set_defaults(run=_adapt)


def _adapt(options: argparse.Namespace) -> None:
    from wbc import adapt_command

    adapt_command.run(options)
