"""`export`: a model as one file for other runtimes."""

import argparse
from typing import Any


def add(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write a model as one ONNX or torch.export file",
        epilog="docs/export.md says what is in the file and how it is checked.",
    )
    export.add_argument(
        "--format", choices=("onnx", "pt2"), default="onnx", help="default %(default)s"
    )
    export.add_argument(
        "--model",
        default="models:/wbc-classifier@champion",
        help="a version in the registry (default %(default)s) or a folder such as models/googlenet",
    )
    export.add_argument(
        "--out", metavar="FILE", help="default: ARCHITECTURE-SHA256.onnx or .pt2, here"
    )
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from wbc.exporting import command

    command.run(options)
