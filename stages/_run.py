"""How every stage starts: plain log lines, a user's mistake as one sentence, no traceback."""

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

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


def scratch_dir(name: str) -> Path:
    """A new empty folder below the repository's ignored scratch/, also where DVC runs a stage in a
    temporary copy; the caller removes it."""
    parent = Path(os.environ.get("DVC_ROOT", ".")).absolute() / "scratch"
    parent.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
