"""The card: what makes the model is on it, and nothing else."""

import dataclasses
from pathlib import Path
from typing import Any

from wbc import params
from wbc.card import recorded

LOADED = params.load(Path(__file__).parent.parent.parent / "params.yaml")


def card(**changes: Any) -> dict[str, Any]:
    train = dataclasses.replace(LOADED.train, **changes)
    return recorded(params.flatten(dataclasses.replace(LOADED, train=train), "resnet18"))


def test_what_cannot_change_the_model_does_not_rename_it() -> None:
    assert card(loader_workers=4, launcher="torchrun") == card()
    assert card(seeds=(1, 2)) == card()
    assert card(processes=2) != card()
    assert card(epochs=11) != card()
