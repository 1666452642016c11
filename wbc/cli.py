"""`python -m wbc …`: what a person does beside `dvc repro`."""

import argparse
import io
import logging
import os
import sys
from pathlib import Path
from tempfile import gettempdir
from typing import TextIO

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
from wbc.errors import UserError, lacking_memory

GROUPS = (
    settings, sweeping, promotion, rebuilding, adapting, predicting, counting, exporting, drifting,
    serving, upkeep,
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a UserError ends with one sentence and status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows only ASCII
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Printing(sys.stdout)])
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        if disk.is_full(error):
            sys.exit(f"error: {disk.full_sentence(error, [Path.cwd(), Path(gettempdir())])}")
        if sentence := disk.refused_sentence(error):
            sys.exit(f"error: {sentence}")
        if place := lacking_memory(error):
            sys.exit(
                f"error: the memory of {place} is not enough; end other programs or take"
                " smaller pictures, and run the same command again"
            )
        raise
    except KeyboardInterrupt:
        sys.exit(130)


class _Printing(logging.StreamHandler[TextIO]):
    """What is said goes nowhere once nobody reads it any more (`… | head`); the work goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging calls it
        if isinstance(sys.exception(), BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        else:
            super().handleError(record)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m wbc", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add(commands)
    return parser
