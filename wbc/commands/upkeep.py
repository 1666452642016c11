"""`sync` and `ui`: the MLflow database."""

import argparse
import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def add(commands: Any) -> None:
    sync = commands.add_parser("sync", help="publish finished models that MLflow lacks")
    sync.set_defaults(run=_sync)
    ui = commands.add_parser("ui", help="open the MLflow UI on this repository's runs")
    ui.add_argument("--port", type=int, default=5000, help="on 127.0.0.1 (default 5000)")
    ui.set_defaults(run=_ui)


def _sync(_options: argparse.Namespace) -> None:
    from wbc import tracking

    for sentence in tracking.sync(Path.cwd()) or ["Nothing to publish: no model is there yet."]:
        log.info("%s", sentence)


def _ui(options: argparse.Namespace) -> None:
    from wbc import tracking

    tracking.ui(options.port)
