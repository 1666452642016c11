"""`python -m wbc review`: the page for a person, or their answers as a labelled source."""

import argparse
import getpass
import logging
from pathlib import Path

from wbc.errors import UserError
from wbc.processes import signals_raise
from wbc.reviewing import export, journal
from wbc.reviewing.queue import Run, read_run
from wbc.reviewing.server import Server
from wbc.reviewing.session import Session
from wbc.sources.incoming import clean_name

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> None:
    """Serve the review page until Ctrl-C, or export.

    Raises:
        UserError: OUT is no differential's, is being reviewed already, the port is taken.
    """
    out = Path(options.out)
    found = read_run(out)
    if options.export:
        for sentence in export.export(out, found, Path(options.export)):
            log.info("%s", sentence)
    elif not found.queue:
        log.info("No cell waits for a person in %s.", out)
    else:
        serve(out, found, options.port, clean_name(options.reviewer or _user()))


def serve(out: Path, found: Run, port: int, reviewer: str) -> None:
    with journal.opened(out) as answers:
        session = Session(found, answers, reviewer)
        try:
            server = Server(session, port, found.again)
        except (OSError, OverflowError):
            raise UserError(
                f"Port {port} on 127.0.0.1 cannot be used, most likely because something else does;"
                " leave --port out to take a free one."
            ) from None
        log.info("Open %s in a browser on this machine; Ctrl-C ends.", server.address)
        try:
            with signals_raise():
                server.serve_forever()
        except (KeyboardInterrupt, SystemExit):
            state = session.state()
            log.info(
                "%d of %d answered, %d skipped; count the slides with them: %s",
                state["answered"],
                state["total"],
                state["skipped"],
                found.again,
            )
            raise
        finally:
            server.server_close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
