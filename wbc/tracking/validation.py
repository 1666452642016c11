"""What a model said of its validation cells, from where evaluate left it: reports/ or its run."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pandas as pd

from wbc.errors import one_line
from wbc.tracking import store as tracking_store
from wbc.tracking.publish import find_run

log = logging.getLogger(__name__)

_FILE: Final = "predictions.csv"


def predictions(model_dir: Path, sha256: str, repository: Path) -> pd.DataFrame | None:
    """The rows of the set val of the model's own predictions.csv; None where it cannot be found.

    Looked for beside the model (models/ARCH has reports/ARCH, whose model card names the model by
    `sha256`), then in the MLflow run of that model, which a registered version always has unless it
    was adapted: then no validation set was kept.
    """
    report = model_dir.parent.parent / "reports" / model_dir.name
    try:
        if _names(report / "model_card.md", sha256) and (report / _FILE).is_file():
            return _validation(report / _FILE)
        return _of_run(sha256, repository)
    except Exception as error:  # MLflow away, a damaged file: the count is there without it
        log.warning("The model's validation could not be read (%s).", one_line(error))
        return None


def _names(card: Path, sha256: str) -> bool:
    return card.is_file() and sha256 in card.read_text(encoding="utf-8", errors="replace")


def _of_run(sha256: str, repository: Path) -> pd.DataFrame | None:
    store = tracking_store.connect(repository)
    run = find_run(store, sha256)
    if run is None:
        return None
    listed = [file.path for file in store.client.list_artifacts(run.info.run_id, "report")]
    if f"report/{_FILE}" not in listed:
        return None
    with TemporaryDirectory() as scratch:
        path = store.client.download_artifacts(run.info.run_id, f"report/{_FILE}", scratch)
        return _validation(Path(path))


def _validation(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, keep_default_na=False)
    return table[table["set"] == "val"].reset_index(drop=True)
