"""Where a network starts from, as the stage weights@ARCH left it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from wbc.written import read_json

CARD_FILE: Final = "start.json"
WEIGHTS_FILE: Final = "start.safetensors"  # absent for a random start


@dataclass(frozen=True)
class Start:
    """What a network starts from; `note` is "" unless `auto` fell back to random weights.

    `none` is the classical baseline's, which has no weights to start from.
    """

    architecture: str
    start: Literal["imagenet", "file", "random", "none"]
    sha256: str  # of the weights as written here, "" for random and none
    note: str


def read_start(folder: Path) -> Start:
    """The start of a network.

    Raises:
        UserError: the stage has not run, or its file is damaged.
    """
    names = [field.name for field in fields(Start)]
    content = read_json(folder / CARD_FILE, names)
    return Start(**{name: content[name] for name in names})
