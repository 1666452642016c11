"""`drift`: whether a folder of pictures is like what the model was made from."""

import argparse
from typing import Any

from wbc.commands.arguments import add_device, add_model
from wbc.commands.predicting import let_threads_sleep


def add(commands: Any) -> None:
    drift = commands.add_parser(
        "drift",
        help="is this month's folder like the training data?",
        epilog="exit status: 0 like training, 1 error, 3 other pictures (shifted or out of domain),"
        " 4 only another mix of cells, 5 too few cells to say; docs/drift.md has the measures",
    )
    drift.add_argument(
        "paths",
        nargs="+",
        metavar="DIR",
        help="a folder, or whatever `predict` takes; several are one heap of cells",
    )
    add_model(drift)
    drift.add_argument(
        "--reference",
        metavar="FILE",
        help="another reference.safetensors of that model; default: the one beside it",
    )
    drift.add_argument(
        "--out", default="drift", help="folder for drift.html, .csv and .json (default %(default)s)"
    )
    drift.add_argument("--name", help="how the folder is called, such as 2026-11; default: its own")
    add_device(drift)
    drift.set_defaults(run=_drift)


def _drift(options: argparse.Namespace) -> None:
    let_threads_sleep()
    from wbc.drift import command

    command.run(options)
