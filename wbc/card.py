"""model.json: what a trained model is, where it comes from and how its output is read."""

from typing import Any, Final

import numpy as np

from wbc import model, params
from wbc.backbones import Network
from wbc.cells import CLASSES
from wbc.framing import Framing
from wbc.pixels import PixelStore
from wbc.plan import Plan
from wbc.start import Start
from wbc.temperature import fit_temperature
from wbc.training import Outcome

# Parameters that make the model, given the pixels and the start (which have hashes of their own):
# those that the stage train depends on.
RECORDED: Final = ("seed", "data", "model.dropout", "train")
# Of these, what cannot change a byte of the weights: how processes are started, who reads ahead,
# which other seeds are trained from beside the model's own.
UNRECORDED: Final = ("train.launcher", "train.loader_workers", "train.seeds")


def make_card(
    architecture: str,
    settings: params.Params,
    store: PixelStore,
    start: Start,
    plan: Plan,
    outcome: Outcome,
) -> dict[str, Any]:
    """Everything in it is a function of parameters and data: no time, host, commit or version.

    `temperature` is 1 until `with_temperature` has fitted it.
    """
    adjusted = settings.train.imbalance == "logit_adjustment"
    sources = [
        {"name": source.name, "kind": source.kind, "role": source.role}
        for source in settings.data.sources
    ]
    trained_on = [source for source in sources if source["role"] != "external"]
    return {
        "format": 1,
        "architecture": architecture,
        "classes": list(CLASSES),
        "input": Framing.of(store.settings).settings(),
        "start": start.start,
        "start_note": start.note,
        "log_prior": list(plan.log_prior) if adjusted else [0.0] * len(CLASSES),
        "decision": "logit_adjustment" if adjusted else "argmax",
        "temperature": 1.0,
        "trained": plan.unfreeze,
        "num_train": len(store.part("train")),
        "best": outcome.best,
        "sources": sources,
        "drawn": any(source["kind"] == "sample" for source in trained_on),
        "parameters": recorded(params.flatten(settings, architecture)),
        "inputs": {"pixels": store.settings["sha256"], "weights": start.sha256},
    }


def with_temperature(
    card: dict[str, Any], network: Network, store: PixelStore, device: str, batch_size: int
) -> dict[str, Any]:
    """The card with the temperature that the trained network needs on the store's val part.

    The network is frozen by it and goes to `device`.
    """
    val = store.part("val")
    outputs = model.classifier(network, card, device).all_outputs(val.batches(batch_size))
    temperature = fit_temperature(outputs.logits, val.labels, np.array(card["log_prior"]))
    return {**card, "temperature": temperature}


def recorded(parameters: dict[str, Any]) -> dict[str, Any]:
    """The flat parameters that belong on the card."""
    return {
        name: value
        for name, value in parameters.items()
        if name not in UNRECORDED
        and (name == "architecture" or any(f"{name}.".startswith(f"{key}.") for key in RECORDED))
    }
