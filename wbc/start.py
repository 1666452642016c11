"""Where a network starts from, as the stage weights@ARCH left it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from wbc.errors import not_there

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
        UserError: the stage has not run.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise not_there(path)
    return Start(**json.loads(path.read_text(encoding="utf-8")))
