"""`python -m wbc …`: what a person does beside `dvc repro`."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from wbc import params
from wbc.errors import UserError

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a UserError ends with one sentence and status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m wbc", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="check params.yaml before any work")
    check.set_defaults(run=_check)
    profile = commands.add_parser("params", help="merge a profile into params.yaml")
    profile.add_argument("profile", help="its name: profiles/NAME.yaml")
    profile.set_defaults(run=_params)
    _add_adapt(commands)
    sync = commands.add_parser("sync", help="publish finished models that MLflow lacks")
    sync.set_defaults(run=_sync)
    ui = commands.add_parser("ui", help="open the MLflow UI on this repository's runs")
    ui.add_argument("--port", type=int, default=5000, help="on 127.0.0.1 (default 5000)")
    ui.set_defaults(run=_ui)
    return parser


def _add_adapt(commands: Any) -> None:
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
        "--per-class", type=_positive, default=20, help="labelled cells of each class (default 20)"
    )
    adapt.add_argument("--seed", type=_natural, default=1, help="which cells are drawn (default 1)")
    adapt.add_argument("--epochs", type=_positive, help="of training; default: the recipe's")
    adapt.set_defaults(run=_adapt)


def _positive(text: str) -> int:
    return _whole_number(text, 1)


def _natural(text: str) -> int:
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, not {text!r}")
    return int(text)


def _adapt(options: argparse.Namespace) -> None:
    from wbc import adapt_command

    adapt_command.run(options)


def _check(_options: argparse.Namespace) -> None:
    train = params.load(Path("params.yaml")).train
    if train.device == "gpu":  # better known now than after the data have been prepared
        from wbc import device

        device.pick(train.device, train.precision, train.threads)


def _params(options: argparse.Namespace) -> None:
    from wbc import profiles

    log.info("%s", profiles.apply(options.profile, Path()))


def _sync(_options: argparse.Namespace) -> None:
    from wbc import tracking

    for sentence in tracking.sync(Path.cwd()) or ["Nothing to publish: no model is there yet."]:
        log.info("%s", sentence)


def _ui(options: argparse.Namespace) -> None:
    from wbc import tracking

    tracking.ui(options.port)
