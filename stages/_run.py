"""How every stage starts: plain log lines, a user's mistake as one sentence, no traceback."""

import logging
import sys
from collections.abc import Callable

from wbc.errors import UserError


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; a UserError is printed in one sentence and ends with status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped by Ctrl-C; run the same command again to go on")
