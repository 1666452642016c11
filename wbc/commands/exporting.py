"""`export`: a model as one file for other runtimes."""

import argparse
from typing import Any

from wbc.commands.arguments import add_model


def add(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write a model as one ONNX or torch.export file",
        epilog="docs/export.md says what is in the file and how it is checked.",
    )
    export.add_argument(
        "--format", choices=("onnx", "pt2"), default="onnx", help="default %(default)s"
    )
    add_model(export)
    export.add_argument(
        "--out", metavar="FILE", help="default: ARCHITECTURE-SHA256.onnx or .pt2, here"
    )
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from wbc.exporting import command

    command.run(options)
