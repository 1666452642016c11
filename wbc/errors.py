"""The one exception for what a user can mend, and how another one is quoted in it."""

import re
import reprlib
import textwrap
from pathlib import Path
from typing import Final

# A value may hold itself, or a thousand million entries by a few dozen YAML aliases.
_SHORT: Final = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 10
_SHORT.maxstring = _SHORT.maxother = 120
# Up to the last @: a password may hold @ and /, and rather an address is cut than a secret shown.
_PASSWORD: Final = re.compile(r"://\S*@")


class UserError(Exception):
    """A mistake in the user's parameters, files or commands.

    The message is one sentence or two: what was expected, what was found, and what to do.
    Stages and the command line print it without a traceback and exit with status 1.
    """


def not_there(path: Path) -> UserError:
    """A file that an earlier stage writes is missing."""
    return UserError(f"{path} was expected but is not there; run `dvc repro`, which makes it.")


def not_as_written(path: Path, found: str, what: str = "a table") -> UserError:
    """A file that an earlier stage wrote is damaged; `found` says how, after "but"."""
    return UserError(
        f"{path} should be {what} as the pipeline wrote it, but {found}; bring it back with"
        " `dvc checkout`, or remove it and run `dvc repro`."
    )


def lacking_memory(error: BaseException) -> str:
    """Whose memory was not enough for Python, numpy or torch, with its article; else ""."""
    if type(error).__name__ == "OutOfMemoryError":  # torch's, and torch takes seconds to import
        return "the GPU"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "this machine"
    return ""


def one_line(error: BaseException, limit: int = 300) -> str:
    """An exception's words in one line, for the inside of a sentence; its type if it has none.

    Passwords in addresses are left out; what is too long is cut after a word.
    """
    words = without_password(" ".join(str(error).split()))
    first = words.split(" ", 1)[0]
    if len(first) > limit - 2:
        return words[:limit]
    return textwrap.shorten(words, limit, placeholder=" …") or type(error).__name__


def shown(value: object, limit: int = 500) -> str:
    """A value that somebody wrote, for the inside of a sentence: its repr, shortened."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # a whole number of thousands of digits
        return f"of type {type(value).__name__}, too long to be shown"
    return text if len(text) <= limit else f"{text[:limit]}..."


def without_password(text: str) -> str:
    """The text with `https://user:password@host` as `https://host`."""
    return _PASSWORD.sub("://", text)
