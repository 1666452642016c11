"""train@classical: what stages/train.py does for the networks, for the hand-made features."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages._run import code_sha256, scratch_dir
from wbc import classical, device, model, params, reference, reference_cells
from wbc.card import make_card, recorded
from wbc.cells import CLASSICAL, write_table
from wbc.classical_training import NUM_FOLDS, Cells, Fitted, fit
from wbc.handmade import extraction
from wbc.pixels import PixelStore, open_store
from wbc.plan import Plan, make_plan
from wbc.seeds import write_others
from wbc.smears import names_of
from wbc.start import read_start
from wbc.temperature import fit_temperature
from wbc.tracking import runs as tracking
from wbc.training import Outcome

log = logging.getLogger(__name__)

# Parameters under `train` that make this model; the others are about networks.
APPLIES = ("train.imbalance",)


def train(settings: params.Params) -> None:
    """Measure the features of train and val, tune, fit, and write the model like a network's.

    Of several seeds the first is taken: the fit draws no random numbers, and the seed only divides
    the cells among the folds.
    """
    settings = params.each_seed(settings)[0]
    num_processes = settings.train.threads or device.num_cores()
    store, model_dir = open_store(Path("data/pixels")), Path("models") / CLASSICAL
    flat = applicable(params.flatten(settings, CLASSICAL))
    plan = make_plan(settings.train, settings.seed, False, store.part("train").labels)
    where = f"CPU, {num_processes} processes"
    log.info("training %s on %s", CLASSICAL, where)
    key = (repr(sorted(flat.items())), str(store.settings["sha256"]), code_sha256())
    with (
        scratch_dir(f"train-{CLASSICAL}", *key) as scratch,
        tracking.training_run(CLASSICAL, flat, where, scratch / "mlflow_run") as live,
    ):
        cells, val = (measured(store, name, num_processes) for name in ("train", "val"))
        fitted = fit(cells, val, log_prior(settings, plan), weighted(settings), settings.seed)
        for row in fitted.history:
            live.log_epoch(row["epoch"], row)
        write_table(pd.DataFrame(fitted.history), model_dir / "history.csv")
        own_card = card(settings, store, plan, fitted, val)
        classical.save(model_dir, fitted.parameters, own_card)
        classifier = classical.ClassicalClassifier(
            None, own_card, "cpu", fitted.parameters, num_processes
        )
        parts = store.part("train"), store.part("val")
        usual = reference_cells.make(classifier, *parts, settings.train.batch_size)
        sha256 = model.model_sha256(model_dir)
        reference.write(model_dir / reference.REFERENCE_FILE, usual, sha256)
        write_others(model_dir, [])
        live.finish(model_dir)


def measured(store: PixelStore, name: str, num_processes: int) -> Cells:
    """Features, labels and smears of a part; a smear is named with its laboratory."""
    part = store.part(name)
    smears = np.array(names_of(part.table), dtype=str)
    return Cells(extraction.table(part, num_processes), part.labels, smears)


def card(
    settings: params.Params, store: PixelStore, plan: Plan, fitted: Fitted, val: Cells
) -> dict[str, Any]:
    """The networks' card, as far as it applies, with the features and what was tuned."""
    start = read_start(Path("models") / CLASSICAL / "start")
    logits = fitted.parameters.logits(fitted.parameters.standardised(val.features))
    temperature = fit_temperature(logits, val.labels, log_prior(settings, plan))
    outcome = Outcome(None, fitted.history, fitted.best)  # type: ignore[arg-type]
    whole = make_card(CLASSICAL, settings, store, start, plan, outcome)
    return {
        **whole,
        "temperature": temperature,
        "trained": "classifier",
        "parameters": applicable(whole["parameters"]),
        "features": list(extraction.NAMES),
        "tuning": {
            "classifier": "multinomial logistic regression",
            "C": fitted.best["C"],
            "folds": NUM_FOLDS,
            "cv/macro_f1": fitted.best["cv/macro_f1"],
            "rule": "smallest C within one standard error of the best",
        },
    }


def applicable(flat: dict[str, Any]) -> dict[str, Any]:
    """The recorded parameters without those that only a network has."""
    return {
        name: value
        for name, value in recorded(flat).items()
        if not name.startswith(("train.", "model.")) or name in APPLIES
    }


def log_prior(settings: params.Params, plan: Plan) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What a decision subtracts, (K,): the class shares' logarithms, or 0."""
    adjusted = settings.train.imbalance == "logit_adjustment"
    return np.array(plan.log_prior) if adjusted else np.zeros(len(plan.log_prior))


def weighted(settings: params.Params) -> bool:
    return settings.train.imbalance == "loss_weights"
