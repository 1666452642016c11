"""The variants that are compared: what each changes in params.yaml."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wbc.params import Params, Preprocess, Train


@dataclass(frozen=True)
class Variant:
    """Changed settings of preprocess, train and train.augment; the rest is as in params.yaml."""

    preprocess: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    augment: Mapping[str, Any] = field(default_factory=dict)

    def __or__(self, other: "Variant") -> "Variant":
        """Both changes, the other's where they differ."""
        return Variant(
            {**self.preprocess, **other.preprocess},
            {**self.train, **other.train},
            {**self.augment, **other.augment},
        )

    def settings(self, params: Params, size: int, epochs: int) -> tuple[Preprocess, Train]:
        augment = dataclasses.replace(params.train.augment, **self.augment)
        train = {"epochs": epochs, **self.train, "augment": augment}
        return (
            dataclasses.replace(params.preprocess, input_size=size, **self.preprocess),
            dataclasses.replace(params.train, **train),
        )


CELL = Variant({"crop": "cell"})
COLOUR = Variant(augment={"brightness": 0.3, "contrast": 0.3, "saturation": 0.4, "stain": 0.3})

VARIANTS: Final[Mapping[str, Variant]] = {
    "whole": Variant({"crop": "none"}),
    "cell": CELL,
    "head": CELL | Variant(train={"unfreeze": "head"}),
    "all": CELL | Variant(train={"unfreeze": "all", "learning_rate": 0.0003}),
    "gentle": CELL | Variant(train={"learning_rate": 0.0003}),
    "colour": CELL | COLOUR,
    "hue": CELL | COLOUR | Variant(augment={"hue": 0.05}),
    "scale": CELL | Variant(augment={"scale": 0.25}),
}
