"""model.json: what a trained model is, where it comes from and how its output is read."""

from typing import Any, Final

from wbc import params
from wbc.cells import CLASSES
from wbc.pixels import PixelStore
from wbc.plan import Plan
from wbc.start import Start
from wbc.training import Outcome

# Parameters that make the model, given the pixels and the start (which have hashes of their own):
# those that the stage train depends on.
RECORDED: Final = ("seed", "data", "model.dropout", "train")
# Of these, what cannot change a byte of the weights: how processes are started, who reads ahead.
UNRECORDED: Final = ("train.launcher", "train.loader_workers")


def make_card(
    architecture: str,
    settings: params.Params,
    store: PixelStore,
    start: Start,
    plan: Plan,
    outcome: Outcome,
) -> dict[str, Any]:
    """Everything in it is a function of parameters and data: no time, host, commit or version."""
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
        "input": {key: store.settings[key] for key in ("size", "crop", "context")},
        "start": start.start,
        "start_note": start.note,
        "log_prior": list(plan.log_prior) if adjusted else [0.0] * len(CLASSES),
        "decision": "logit_adjustment" if adjusted else "argmax",
        "trained": plan.unfreeze,
        "num_train": len(store.part("train")),
        "best": outcome.best,
        "sources": sources,
        "drawn": any(source["kind"] == "sample" for source in trained_on),
        "parameters": recorded(params.flatten(settings, architecture)),
        "inputs": {"pixels": store.settings["sha256"], "weights": start.sha256},
    }


def recorded(parameters: dict[str, Any]) -> dict[str, Any]:
    """The flat parameters that belong on the card."""
    return {
        name: value
        for name, value in parameters.items()
        if name not in UNRECORDED
        and (name == "architecture" or any(f"{name}.".startswith(f"{key}.") for key in RECORDED))
    }
