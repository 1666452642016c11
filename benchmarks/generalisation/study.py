"""One variant from one seed: trained once, kept, and asked about any set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.class_folders import fine_tuned
from benchmarks.generalisation.cells import stored
from benchmarks.generalisation.variants import Variant
from wbc import model
from wbc.evaluation import judge, predict
from wbc.metrics import predictions_table
from wbc.params import Params, Preprocess, Train
from wbc.pixels import PixelStore


@dataclass(frozen=True)
class Study:
    """What all variants share. `work` keeps pictures, stores, models and answers."""

    params: Params
    work: Path
    weights: Path | None  # None: random
    network: str
    size: int
    epochs: int
    views: int  # of each cell, turned by quarters and mirrored, whose logits are averaged: 1 or 8

    @property
    def raw_dir(self) -> Path:
        return self.work / "raw"

    def store(self, cells: pd.DataFrame, settings: Preprocess) -> PixelStore:
        """One store for each set of cells and settings."""
        name = _digest(json.dumps(asdict(settings), sort_keys=True) + cells.to_csv())
        return stored(cells, self.raw_dir, self.work / "pixels" / name, settings)


def answers(
    study: Study, name: str, variant: Variant, seed: int, cells: pd.DataFrame
) -> pd.DataFrame:
    """predictions.csv of the variant's model on every set of `cells` but `train`.

    The model is trained on `train` unless it has been; what it said of a set is kept too.
    """
    folder = model_folder(study, name, variant, seed)
    sets = sorted(set(cells["split"]) - {"train"})
    views = f"-{study.views}-views" if study.views > 1 else ""
    kept = folder / f"{'+'.join(sets)}{views}.csv"
    if kept.is_file():
        return pd.read_csv(kept, keep_default_na=False)
    preprocess, train = variant.settings(study.params, study.size, study.epochs)
    store = study.store(cells, preprocess)
    if not (folder / model.CARD_FILE).is_file():
        _train(study, train, seed, store, folder)
    table = predictions(model.load(folder), store, sets, study.views)
    table.to_csv(kept, index=False)
    return table


def model_folder(study: Study, name: str, variant: Variant, seed: int) -> Path:
    """Where `answers` keeps the model."""
    preprocess, train = variant.settings(study.params, study.size, study.epochs)
    told = _digest(json.dumps([asdict(preprocess), asdict(train), str(study.weights)]))
    return study.work / "models" / f"{study.network}-{name}-{seed}-{told}"


def predictions(
    classifier: model.Classifier, store: PixelStore, sets: Sequence[str], views: int = 1
) -> pd.DataFrame:
    """predictions.csv of the model on these parts of the store."""
    tables = []
    for each in sets:
        part = store.part(each)
        judged = judge(classifier, _outputs(classifier, part, views), part)
        tables.append(predictions_table(part.table, judged.decisions, judged.calibrated))
    return pd.concat(tables)


def _outputs(classifier: model.Classifier, part: PixelStore, views: int) -> model.Outputs:
    """What the network says of the cells, logits averaged over their views."""
    if views == 1:
        return predict(classifier, part, 64)
    seen = [
        classifier.all_outputs(_turned(batch, view) for batch in part.batches(64))
        for view in range(views)
    ]
    logits = np.mean([outputs.logits for outputs in seen], axis=0)
    return model.Outputs(logits, seen[0].features)


def _turned(squares: NDArray[np.uint8], view: int) -> NDArray[np.uint8]:
    turned = np.rot90(squares, view % 4, axes=(1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if view >= 4 else turned)


def _train(study: Study, settings: Train, seed: int, store: PixelStore, folder: Path) -> None:
    dropout = study.params.model.dropout
    outcome, plan = fine_tuned(study.network, study.weights, dropout, settings, seed, store)
    adjusted = settings.imbalance == "logit_adjustment"
    card = {
        "architecture": study.network,
        "log_prior": list(plan.log_prior) if adjusted else [0.0] * 5,
        "decision": "logit_adjustment" if adjusted else "argmax",
        "input": dict(store.settings),
        "history": [round(float(row["val/macro_f1"]), 4) for row in outcome.history],
    }
    model.save(folder, outcome.network, card)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
