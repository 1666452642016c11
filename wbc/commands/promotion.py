"""`promote`, `rollback`, `history` and `list`: which version is used, and who decided that."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from wbc.commands.numbers import positive

log = logging.getLogger(__name__)


def add(commands: Any) -> None:
    promote = commands.add_parser("promote", help="make a version champion, if it passes the gate")
    which = promote.add_mutually_exclusive_group()
    which.add_argument("--version", type=positive, metavar="N", help="its number in the registry")
    which.add_argument("--alias", default="challenger", help="or its alias (default challenger)")
    promote.add_argument(
        "--force", action="store_true", help="whatever the gate says; needs a reason"
    )
    promote.add_argument("--reason", default="", help="why, for the audit trail")
    promote.set_defaults(run=_promote)
    rollback = commands.add_parser("rollback", help="go back to the champion before")
    rollback.add_argument("--reason", default="", help="why, for the audit trail")
    rollback.set_defaults(run=_rollback)
    history = commands.add_parser("history", help="promotions, refusals and rollbacks")
    history.add_argument("--full", action="store_true", help="long reasons are not shortened")
    history.set_defaults(run=_history)
    versions = commands.add_parser("list", help="versions, their aliases and scores")
    versions.set_defaults(run=_list)


def _promote(options: argparse.Namespace) -> None:
    from wbc import params
    from wbc.errors import UserError
    from wbc.registry import promotion

    if not options.alias.strip():
        raise UserError(
            "--alias needs the name of an alias, such as challenger; `python -m wbc list` shows"
            " those that there are."
        )
    reason = " ".join(options.reason.split())
    if options.force and not reason:
        raise UserError(
            'Forcing a promotion needs a reason for the audit trail: --force --reason "…".'
        )
    rules = params.load(Path("params.yaml")).promotion
    request = promotion.Request(options.version, options.alias, reason, options.force)
    _end(promotion.promote(Path.cwd(), rules, request))


def _rollback(options: argparse.Namespace) -> None:
    from wbc.registry import promotion

    _end(promotion.rollback(Path.cwd(), " ".join(options.reason.split())))


def _history(options: argparse.Namespace) -> None:
    from wbc.registry import listing

    for line in listing.history(Path.cwd(), options.full):
        log.info("%s", line)


def _list(_options: argparse.Namespace) -> None:
    from wbc.registry import listing

    for line in listing.versions(Path.cwd()):
        log.info("%s", line)


def _end(outcome: Any) -> None:
    """The paragraph; a refusal ends with status 1."""
    log.info("%s", outcome.paragraph)
    if not outcome.done:
        sys.exit(1)
