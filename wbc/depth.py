"""How deep folders may lie in material from anywhere: each level is one more call of a walk, and
Python ends at a thousand of them, also in the middle of removing what was unpacked."""

from pathlib import PurePath
from typing import Final

from wbc.errors import UserError

MAX_DEPTH: Final = 100  # folders in each other; collections of pictures have fewer than ten


def is_too_deep(folder: PurePath, base: PurePath) -> bool:
    """Of a folder below `base`, by its name."""
    return len(folder.parts) - len(base.parts) > MAX_DEPTH


def check_depth(folder: PurePath, base: PurePath) -> None:
    """Raises UserError where the folder lies too deep below `base`."""
    if is_too_deep(folder, base):
        first = "/".join(folder.parts[len(base.parts) :][:3])
        raise UserError(
            f"{base} holds more than {MAX_DEPTH} folders in each other ({first}/…), and what lies"
            " in them is not looked for; move it further up, or take these folders away."
        )
