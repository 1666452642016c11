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


# The usual recipe: whole pictures, batch norm learned anew, all at once, weights as they end.
USUAL = Variant({"crop": "none"}, {"batch_norm": "train", "head_epochs": 0, "ema_decay": 0.0})
CELL = Variant({"crop": "cell"})  # params.yaml's recipe
STRONG = Variant(
    augment={
        "stain": 0.5,
        "stain_hue": 0.1,
        "white_point": 0.1,
        "gamma": 0.5,
        "gradient": 0.2,
        "microscope_share": 0.75,
        "resolution": 0.65,
        "blur": 0.015,
        "fringe": 0.006,
        "sharpen": 1.5,
        "noise": 10,
        "jpeg": 75,
    }
)
TONES = Variant(augment={"uptake": 0.7, "saturation": 0.5})
MOST_LAYERS = Variant(train={"unfreeze": "most", "learning_rate": 0.0003})
TOGETHER = CELL | STRONG | TONES | MOST_LAYERS  # profiles/other-laboratories.yaml

# What puts each part into the usual recipe, and what takes it out of all together.
PARTS: Final[Mapping[str, tuple[Variant, Variant]]] = {
    "cell's window": (CELL, Variant({"crop": "none"})),
    "strong": (STRONG, Variant(augment=dict.fromkeys(STRONG.augment, 0.0) | {"stain": 0.05})),
    "tones": (TONES, Variant(augment={"uptake": 0.0, "saturation": 0.15})),
    "most layers": (MOST_LAYERS, Variant(train={"unfreeze": "upper", "learning_rate": 0.001})),
    "frozen batch norm": (
        Variant(train={"batch_norm": "auto"}),
        Variant(train={"batch_norm": "train"}),
    ),
    "head first": (Variant(train={"head_epochs": 2}), Variant(train={"head_epochs": 0})),
    "averaged weights": (Variant(train={"ema_decay": 0.98}), Variant(train={"ema_decay": 0.0})),
}
ABLATION: Final[Mapping[str, Variant]] = {
    "usual": USUAL,
    **{f"usual + {name}": USUAL | put_in for name, (put_in, _) in PARTS.items()},
    "together": TOGETHER,
    **{f"together - {name}": TOGETHER | out for name, (_, out) in PARTS.items()},
}
VARIANTS: Final[Mapping[str, Variant]] = {
    **ABLATION,
    "cell": CELL,
    "together, long": TOGETHER | Variant(train={"epochs": 16, "patience": 16}),
}
