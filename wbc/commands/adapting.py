"""`adapt`: a model for another laboratory."""

import argparse
from typing import Any

from wbc.commands.numbers import natural, positive
from wbc.errors import UserError


def add(commands: Any) -> None:
    adapt = commands.add_parser("adapt", help="fit a model to another laboratory")
    adapt.add_argument(
        "set",
        help="the laboratory: name of an external source in data/pixels; with --unlabelled also a"
        " folder of pictures",
    )
    adapt.add_argument(
        "--model",
        default="models:/wbc-classifier@challenger",
        help="what to start from: a version in the registry (default %(default)s)"
        " or a folder such as models/googlenet",
    )
    adapt.add_argument(
        "--unlabelled",
        action="store_true",
        help="read no labels: shift decisions so that the mix of the cells is one of blood",
    )
    adapt.add_argument(
        "--per-class", type=positive, help="labelled cells of each class (default 20)"
    )
    adapt.add_argument("--seed", type=natural, help="which cells are drawn (default 1)")
    adapt.add_argument("--epochs", type=positive, help="of training; default: the recipe's")
    adapt.set_defaults(run=_adapt)


def _adapt(options: argparse.Namespace) -> None:
    if not options.unlabelled:
        from wbc import adapt_command

        options.per_class = options.per_class or 20
        options.seed = 1 if options.seed is None else options.seed
        adapt_command.run(options)
        return
    for name in ("per_class", "seed", "epochs"):
        if getattr(options, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')} is for learning from labelled cells, and --unlabelled"
                " learns from none; leave one of the two out."
            )
    from wbc import adapt_unlabelled

    adapt_unlabelled.run(options)
