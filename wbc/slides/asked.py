"""What a command line of `differential` asks for: whether it can work, and how to ask again."""

import argparse
import contextlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from wbc import disk, out_folder
from wbc.commands.predicting import UNCERTAIN_BELOW
from wbc.disk import write_whole
from wbc.errors import UserError
from wbc.slides.grouping import FOLDERS
from wbc.sources.incoming import clean_name

MARKER: Final = ".wbc-differential"  # OUT is ours, so what we wrote in it may be replaced
_LOCK: Final = ".lock"  # in OUT, held while it is written
_OF_FIELDS: Final = "--fields\n"  # in MARKER, where cells are those of whole fields


def check(folder: Path, out: Path, fields: bool) -> None:
    """Raises UserError for what cannot work, before any work."""
    if not folder.is_dir():
        raise UserError(
            f"{folder} was expected to be a folder of slides, but is"
            f" {'a file' if folder.exists() else 'not there'}; name the folder that holds them."
        )
    out_folder.check(out, MARKER)
    if (out / MARKER).is_file() and _is_of_fields(out) != fields:
        others = "single cells, without --fields" if fields else "whole fields, with --fields"
        raise UserError(
            f"{out} was made of {others}, so its answers are about other pictures; name another"
            " --out, or delete that folder."
        )
    if not out.absolute().parent.is_dir():
        raise UserError(f"The folder for {out} is not there; make it, or name another --out.")
    inside, judged = out.resolve(), folder.resolve()
    if judged == inside or judged in inside.parents or inside in judged.parents:
        raise UserError(
            f"--out {out} and {folder} lie in each other, so pages would be taken for slides or"
            " replace pictures; name a folder beside it."
        )


def mark(out: Path, fields: bool) -> None:
    """That OUT is ours, and of which pictures; raises OSError."""
    out.mkdir(exist_ok=True)
    if not (out / MARKER).is_file():
        write_whole(out / MARKER, _OF_FIELDS.encode() if fields else b"")


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """No other `differential` writes OUT meanwhile; raises UserError where one does, OSError."""
    with (out / _LOCK).open("ab") as file:
        if not disk.lock(file):
            raise UserError(
                f"Another `python -m wbc differential` is writing {out}; wait for it, or name"
                " another --out."
            )
        yield


def _is_of_fields(out: Path) -> bool:
    return (out / MARKER).read_text(encoding="utf-8", errors="replace") == _OF_FIELDS


def again_command(options: argparse.Namespace, models: Sequence[str]) -> str:
    """The command line that these options came from, without --restart and with these models."""
    words = ["python", "-m", "wbc", "differential", str(options.folder), "--out", str(options.out)]
    words += [word for each in models for word in ("--model", each)]
    words += ["--fields"] * options.fields
    words += ["--slides", options.slides] * (options.slides != FOLDERS)
    words += ["--ranges", str(options.ranges)] * bool(options.ranges)
    if options.uncertain_below != UNCERTAIN_BELOW:
        words += ["--uncertain-below", str(options.uncertain_below)]
    words += ["--explain"] * bool(options.explain)
    words += ["--device", options.device] * (options.device != "auto")
    return clean_name(shlex.join(words))
