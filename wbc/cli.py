"""`python -m wbc …`: what a person does beside `dvc repro`."""

import argparse
import logging
import sys
from pathlib import Path
from tempfile import gettempdir

from wbc import disk
from wbc.commands import (
    adapting,
    counting,
    drifting,
    exporting,
    predicting,
    promotion,
    rebuilding,
    serving,
    settings,
    sweeping,
    upkeep,
)
from wbc.errors import UserError

GROUPS = (
    settings, sweeping, promotion, rebuilding, adapting, predicting, counting, exporting, drifting,
    serving, upkeep,
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a UserError ends with one sentence and status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        if disk.is_full(error):
            sys.exit(f"error: {disk.full_sentence(error, [Path.cwd(), Path(gettempdir())])}")
        if disk.is_refused(error):
            sys.exit(f"error: {disk.refused_sentence(error)}")
        raise
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m wbc", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add(commands)
    return parser
