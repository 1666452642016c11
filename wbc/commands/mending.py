"""What has to be whole before DVC is started."""

import logging
from pathlib import Path

log = logging.getLogger(__name__)


def mend(root: Path) -> None:
    """Put away what a killed DVC left half written, and say so (docs/robustness.md).

    Raises UserError where dvc.lock cannot be read and must not be replaced.
    """
    from wbc.lineage import leftovers, lock

    for sentence in (lock.mend(root), *leftovers.mend(root)):
        if sentence:
            log.warning("%s", sentence)
