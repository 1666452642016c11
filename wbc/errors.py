"""The one exception for what a user can mend, and how another one is quoted in it."""


class UserError(Exception):
    """A mistake in the user's parameters, files or commands.

    The message is one sentence or two: what was expected, what was found, and what to do.
    Stages and the command line print it without a traceback and exit with status 1.
    """


def one_line(error: BaseException, limit: int = 300) -> str:
    """An exception's words in one line, for the inside of a sentence; its type if it has none."""
    return " ".join(str(error).split())[:limit] or type(error).__name__
