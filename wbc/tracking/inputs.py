"""The data sets of a run, as MLflow's inputs: what it was trained on and judged with."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from wbc.lineage import state as lineage
from wbc.tracking import overtaken
from wbc.tracking import record as tracking_record
from wbc.tracking.store import Store

DIGEST_LENGTH: Final = 36  # MLflow's limit for a dataset's digest


@overtaken.repeated
def log_data(store: Store, run_id: str, sources: Iterable[Mapping[str, str]]) -> None:
    """The data that the model was trained on, by DVC's hashes, as inputs of the run."""
    hashes = lineage.data_hashes(store.workspace)
    source = {"dvc": "dvc.lock", "sources": [dict(entry) for entry in sources]}
    inputs = [
        _dataset(path, hashes[path], {**source, "path": path}, "training")
        for path in tracking_record.DATA_PATHS
        if path in hashes
    ]
    store.client.log_inputs(run_id, datasets=inputs)


@overtaken.repeated
def log_evaluation_data(
    store: Store, run_id: str, scores: Mapping[str, Any], report_dir: Path
) -> None:
    """The evaluation sets, each named by its cells and labels, whatever store they lie in.

    Where the cells are not known it is the hash of the pixel store.
    """
    sets = tracking_record.evaluation_sets(report_dir)
    pixels = lineage.data_hashes(store.workspace).get("data/pixels", "")
    source = {"dvc": "dvc.lock", "path": "data/pixels"}
    inputs = []
    for name in scores:
        digest, num_cells = sets.get(name, (pixels, 0))
        if digest:
            inputs.append(_dataset(name, digest, source, "evaluation", num_cells))
    store.client.log_inputs(run_id, datasets=inputs)


def _dataset(
    name: str, digest: str, source: Mapping[str, object], context: str, num_rows: int = 0
) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = json.dumps({"num_rows": num_rows}) if num_rows else None
    dataset = Dataset(
        name=name,
        digest=digest[:DIGEST_LENGTH],
        source_type="dvc",
        source=json.dumps(source),
        profile=profile,
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
