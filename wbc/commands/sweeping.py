"""`sweep`: a grid of settings as DVC experiments."""

import argparse
from pathlib import Path
from typing import Any, Final

from wbc.commands.mending import mend
from wbc.commands.numbers import positive

# On the embedded sample a few minutes; both mean something from random weights too.
GRID: Final = "train.learning_rate=0.0005,0.001 model.dropout=0.2,0.5"


def add(commands: Any) -> None:
    sweep = commands.add_parser("sweep", help="run a grid of settings and rank it on validation")
    sweep.add_argument(
        "grid",
        nargs="*",
        help=f"settings of params.yaml and their values (default: {GRID})",
    )
    sweep.add_argument("--jobs", type=positive, default=2, help="at a time (default 2)")
    sweep.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> None:
    from wbc import sweep

    mend(Path())
    sweep.run(Path.cwd(), " ".join(options.grid) or GRID, options.jobs)
