"""The one exception for what a user can mend."""


class UserError(Exception):
    """A mistake in the user's parameters, files or commands.

    The message is one sentence or two: what was expected, what was found, and what to do.
    Stages and the command line print it without a traceback and exit with status 1.
    """
