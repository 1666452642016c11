"""`verify` and `checkout`: back to what a registered version was made from."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def add(commands: Any) -> None:
    verify = commands.add_parser(
        "verify",
        help="train a version again from its record and compare every byte",
        epilog="exit status: 0 identical, 1 differs or cannot be made again, 3 not comparable",
    )
    verify.add_argument("version", help="models:/wbc-classifier/3, or 3, or an alias")
    verify.add_argument(
        "--anyway",
        action="store_true",
        help="also where the record is of another processor, torch or device, or incomplete:"
        " equal bytes are a proof there too, others prove nothing",
    )
    verify.set_defaults(run=_verify)
    checkout = commands.add_parser(
        "checkout", help="bring git and DVC to the state that made a version"
    )
    checkout.add_argument("version", help="models:/wbc-classifier/3, or 3, or an alias")
    checkout.set_defaults(run=_checkout)


def _verify(options: argparse.Namespace) -> None:
    from wbc.registry import verification

    verdict = verification.verify(Path.cwd(), options.version, options.anyway)
    log.info("%s", verdict)
    sys.exit(verification.EXIT_STATUS[verdict.word])


def _checkout(options: argparse.Namespace) -> None:
    from wbc.registry import workspace

    for sentence in workspace.checkout(Path.cwd(), options.version):
        log.info("%s", sentence)
