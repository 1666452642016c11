"""`sync`, `relocate`, `clean` and `ui`: the MLflow database and the disk."""

import argparse
import logging
from pathlib import Path
from typing import Any

from wbc.commands.numbers import natural

log = logging.getLogger(__name__)


def add(commands: Any) -> None:
    sync = commands.add_parser("sync", help="publish finished models that MLflow lacks")
    sync.set_defaults(run=_sync)
    relocate = commands.add_parser(
        "relocate", help="mend MLflow's database after the repository was moved or copied"
    )
    relocate.set_defaults(run=_relocate)
    _add_clean(commands)
    ui = commands.add_parser("ui", help="open the MLflow UI on this repository's runs")
    ui.add_argument("--port", type=int, default=5000, help="on 127.0.0.1 (default 5000)")
    ui.set_defaults(run=_ui)


def _add_clean(commands: Any) -> None:
    clean = commands.add_parser(
        "clean", help="free disk in MLflow and DVC; keeps what a version or a commit needs"
    )
    clean.add_argument("--dry-run", action="store_true", help="show the plan, remove nothing")
    clean.add_argument("--yes", action="store_true", help="remove without asking")
    clean.add_argument(
        "--keep-last",
        type=natural,
        metavar="N",
        help="also remove versions without an alias, but the newest N, and checks of drift older"
        " than a year, but the newest N of each model",
    )
    clean.add_argument(
        "--tips",
        action="store_true",
        help="give up the data of older commits: keep those of the newest of each branch, tag"
        " and experiment",
    )
    clean.set_defaults(run=_clean)


def _sync(_options: argparse.Namespace) -> None:
    from wbc.tracking import runs as tracking

    for sentence in tracking.sync(Path.cwd()) or ["Nothing to publish: no model is there yet."]:
        log.info("%s", sentence)


def _relocate(_options: argparse.Namespace) -> None:
    from wbc.tracking import relocate as tracking_relocate

    for sentence in tracking_relocate.relocate(Path.cwd()):
        log.info("%s", sentence)


def _clean(options: argparse.Namespace) -> None:
    from wbc.tracking import clean as tracking_clean

    tracking_clean.run(
        Path.cwd(), options.keep_last, options.tips, dry_run=options.dry_run, sure=options.yes
    )


def _ui(options: argparse.Namespace) -> None:
    from wbc.tracking import runs as tracking

    tracking.ui(options.port)
