"""`serve`: the champion over HTTP on this machine."""

import argparse
from typing import Any

from wbc.commands.arguments import add_model


def add(commands: Any) -> None:
    serve = commands.add_parser("serve", help="answer over HTTP on 127.0.0.1 (docs/serving.md)")
    add_model(serve)
    serve.add_argument("--port", type=int, default=5001, help="default %(default)s")
    serve.add_argument(
        "--workers", type=int, choices=range(1, 65), default=1, metavar="N",
        help="processes, each with the model in memory (default %(default)s)",
    )  # fmt: skip
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> None:
    from wbc.registry import serve

    serve.serve(options.model, options.port, options.workers)
