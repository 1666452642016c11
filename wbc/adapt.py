"""Fine-tune a finished model with a few labelled cells of another laboratory.

The engine is that of train (wbc.training). What differs is where it starts, at the model with its
head, and what it sees: the labelled cells, and beside them cells of the laboratory that the model
comes from, so that it does not forget that one (rehearsal). docs/shift.md says how the recipe was
chosen.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from wbc import training
from wbc.backbones import Network, Unfreeze
from wbc.cells import CLASSES
from wbc.device import Device
from wbc.labelled import Draw
from wbc.model import WEIGHTS_FILE, Card
from wbc.params import Train
from wbc.pixels import PixelStore
from wbc.plan import make_plan
from wbc.training_module import Row


@dataclass(frozen=True)
class Recipe:
    """How to adapt. Chosen on simulated laboratories (benchmarks/adapt_recipe.py)."""

    epochs: int = 20
    head_epochs: int = 5  # of these, the first, in which only the head learns
    unfreeze: Unfreeze = "upper"
    head_learning_rate: float = 1e-3
    learning_rate: float = 3e-4
    rehearsal: float = 1.0  # cells of the old laboratory for each labelled one wanted of a class
    cache_views: int = 8


RECIPE: Final = Recipe()
DROPOUT: Final = 0.2  # where the model's card does not say


@dataclass(frozen=True)
class Adaptation:
    """All that decides what an adapted model becomes, beside its parent and the pixels."""

    evaluation_set: str
    per_class: int
    seed: int
    recipe: Recipe


def lesson(store: PixelStore, drawn: Draw, card: Card, job: Adaptation) -> PixelStore:
    """The store that is trained on: its `train` part holds labelled and rehearsed cells.

    Its `val` part holds the labelled cells once more: a few cells are too few to hold some back,
    so the epoch that fits them best is kept, which with averaged weights is one of the last.
    """
    labelled = store.part(job.evaluation_set).table.iloc[drawn.labelled]
    old = rehearsed(store, card, job)
    parts = [
        labelled.assign(split="train"),
        old.assign(split="train"),
        labelled.assign(split="val"),
    ]
    return dataclasses.replace(store, table=pd.concat(parts, ignore_index=True))


def rehearsed(store: PixelStore, card: Card, job: Adaptation) -> pd.DataFrame:
    """Training cells of the model's own laboratories, as many of each class; none where away."""
    own = {entry["name"] for entry in card["sources"] if entry["role"] != "external"}
    table = store.part("train").table
    table = table[table["source"].isin(own)]
    count = round(job.recipe.rehearsal * job.per_class)
    rng = np.random.default_rng((job.seed, 21))  # apart from other draws with the same seed
    order = rng.permutation(len(table))
    shuffled = table.iloc[order]
    rows = [shuffled[shuffled["label"] == name].head(count) for name in CLASSES]
    return pd.concat(rows)


def settings(train: Train, recipe: Recipe) -> Train:
    """The section `train` of params.yaml with what the recipe decides put in."""
    return dataclasses.replace(
        train,
        epochs=recipe.epochs,
        head_epochs=min(recipe.head_epochs, recipe.epochs),
        patience=recipe.epochs,
        unfreeze=recipe.unfreeze,
        head_learning_rate=recipe.head_learning_rate,
        learning_rate=recipe.learning_rate,
        cache_views=recipe.cache_views,
    )


def fine_tune(
    parent_dir: Path,
    card: Card,
    cells: PixelStore,
    train: Train,
    seed: int,
    device: Device,
    scratch: Path,
) -> training.Outcome:
    """Go on from the model in `parent_dir` with the cells of `lesson`; batch norm stays frozen.

    `scratch` is an empty folder, which the caller removes.
    """
    dropout = float(card["parameters"].get("model.dropout", DROPOUT))
    network = Network(card["architecture"], dropout, frozen_batch_norm=True)
    network.net.load_state_dict(load_file(parent_dir / WEIGHTS_FILE))
    plan = make_plan(train, seed, pretrained=True, labels=cells.part("train").labels)
    return training.fit(network, cells, plan, device, scratch, _silent)


def make_card(
    parent: Card,
    parent_sha256: str,
    job: Adaptation,
    train: Train,
    cells: PixelStore,
    outcome: training.Outcome,
) -> Card:
    """The parent's card with what has changed; `adapted` names parent, laboratory and cells.

    The parent's temperature stays: every labelled cell was learned from, so none can tell how sure
    the new model may be. Its `offsets` go: they corrected a head that has learned anew.
    """
    labelled, learned = cells.part("val"), cells.part("train")
    plan = make_plan(train, job.seed, pretrained=True, labels=learned.labels)
    adjusted = train.imbalance == "logit_adjustment"
    recipe = {f"adapt.{name}": value for name, value in dataclasses.asdict(job.recipe).items()}
    sources = [
        {**entry, "role": "adapted"} if entry["name"] == job.evaluation_set else entry
        for entry in parent["sources"]
    ]
    if job.evaluation_set not in {entry["name"] for entry in sources}:
        sources.append({"name": job.evaluation_set, "kind": "", "role": "adapted"})
    changed = {
        "start": "adapted",
        "log_prior": list(plan.log_prior) if adjusted else [0.0] * len(CLASSES),
        "decision": "logit_adjustment" if adjusted else "argmax",
        "trained": job.recipe.unfreeze,
        "num_train": len(learned),
        "best": outcome.best,
        "sources": sources,
        "parameters": {**parent["parameters"], **recipe, "seed": job.seed},
        "inputs": {"pixels": str(cells.settings["sha256"]), "weights": parent_sha256},
        "adapted": {
            "from": parent_sha256,
            "set": job.evaluation_set,
            "per_class": job.per_class,
            "seed": job.seed,
            "num_rehearsed": len(learned) - len(labelled),
            "cells": sorted(labelled.table["path"]),
        },
    }
    return {name: value for name, value in parent.items() if name != "offsets"} | changed


def _silent(_epoch: int, _row: Row) -> None:
    return None
