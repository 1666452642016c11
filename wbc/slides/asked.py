"""What a command line of `differential` asks for: whether it can work, and how to ask again."""

import argparse
import shlex
from pathlib import Path
from typing import Final

from wbc.commands.predicting import UNCERTAIN_BELOW
from wbc.errors import UserError
from wbc.predicting.found import clean_name
from wbc.slides.grouping import FOLDERS

MARKER: Final = ".wbc-differential"  # OUT is ours, so what we wrote in it may be replaced


def check(folder: Path, out: Path) -> None:
    """Raises UserError for what cannot work, before any work."""
    if not folder.is_dir():
        raise UserError(
            f"{folder} was expected to be a folder of slides, but is"
            f" {'a file' if folder.exists() else 'not there'}; name the folder that holds them."
        )
    if out.exists() and not out.is_dir():
        raise UserError(f"--out should name a folder, but {out} is a file.")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise UserError(
            f"{out} holds something else already; name another --out, or empty that folder."
        )
    if not out.absolute().parent.is_dir():
        raise UserError(f"The folder for {out} is not there; make it, or name another --out.")
    inside, judged = out.resolve(), folder.resolve()
    if judged == inside or judged in inside.parents or inside in judged.parents:
        raise UserError(
            f"--out {out} and {folder} lie in each other, so pages would be taken for slides or"
            " replace pictures; name a folder beside it."
        )


def again_command(options: argparse.Namespace) -> str:
    """The command line that these options came from, without --restart."""
    words = ["python", "-m", "wbc", "differential", str(options.folder), "--out", str(options.out)]
    words += [word for each in options.models for word in ("--model", each)]
    words += ["--slides", options.slides] * (options.slides != FOLDERS)
    words += ["--ranges", str(options.ranges)] * bool(options.ranges)
    if options.uncertain_below != UNCERTAIN_BELOW:
        words += ["--uncertain-below", str(options.uncertain_below)]
    words += ["--explain"] * bool(options.explain)
    words += ["--device", options.device] * (options.device != "auto")
    return clean_name(shlex.join(words))
