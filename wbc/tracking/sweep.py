"""Which registered version a model of an experiment is."""

import logging
from pathlib import Path

from wbc.errors import one_line
from wbc.registry.versions import find_version
from wbc.tracking import record as tracking_record
from wbc.tracking import store as tracking_store
from wbc.tracking.store import Store

_log = logging.getLogger(__name__)


def connect(repository: Path) -> Store | None:
    """A sweep's ranking comes from DVC: a tracking server that is away costs only the versions."""
    try:
        return tracking_store.connect(repository)
    except Exception as error:
        _log.warning("MLflow could not be asked for versions (%s).", one_line(error))
        return None


def version_of(store: Store | None, model_dir: Path) -> str:
    """The number of the version that is this model, whichever run made it; "" if there is none."""
    if store is None:
        return ""
    try:
        found = find_version(store, tracking_record.identity(model_dir))
    except Exception as error:
        _log.warning("MLflow could not be asked for a version (%s).", one_line(error))
        return ""
    return str(found.version) if found else ""
