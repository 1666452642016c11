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
LIGHT = CELL | Variant({"light": "neutral"})
FADE = CELL | Variant({"surroundings": "fade"})
STAINS = Variant(augment={"stain": 0.3, "stain_hue": 0.08})
LAMPS = Variant(augment={"white_point": 0.12, "gamma": 0.25, "gradient": 0.15})
OPTICS = Variant(
    augment={
        "resolution": 0.5,
        "blur": 0.006,
        "fringe": 0.002,
        "sharpen": 1.0,
        "noise": 8,
        "jpeg": 60,
    }
)
MICROSCOPES = STAINS | LAMPS | OPTICS
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
LABORATORIES = MICROSCOPES | TONES | Variant(augment={"stain_hue": 0.1, "gamma": 0.3})
COLOUR = Variant(augment={"saturation": 0.15})  # as shipped: granules keep theirs
LONG = Variant(train={"epochs": 16, "patience": 16})
BOTH = LIGHT | FADE
ALL_LAYERS = Variant(train={"unfreeze": "all", "learning_rate": 0.0003})
MOST_LAYERS = Variant(train={"unfreeze": "most", "learning_rate": 0.0003})
GENTLE = Variant(train={"learning_rate": 0.0003})

VARIANTS: Final[Mapping[str, Variant]] = {
    "whole": Variant({"crop": "none"}),
    "cell": CELL,
    "light": LIGHT,
    "fade": FADE,
    "light+fade": BOTH,
    "stains": CELL | STAINS,
    "lamps": CELL | LAMPS,
    "optics": CELL | OPTICS,
    "microscopes": CELL | MICROSCOPES,
    "strong": CELL | STRONG,
    "tones": CELL | TONES,
    "laboratories": CELL | LABORATORIES,
    "laboratories, most layers": CELL | LABORATORIES | MOST_LAYERS,
    "strong, tones, most layers": CELL | STRONG | TONES | MOST_LAYERS,
    "strong, tones, most layers, long": CELL | STRONG | TONES | MOST_LAYERS | LONG,
    "laboratories, colour, most layers": CELL | LABORATORIES | COLOUR | MOST_LAYERS,
    "laboratories, colour, most layers, long": CELL | LABORATORIES | COLOUR | MOST_LAYERS | LONG,
    "laboratories, colour, wide, most layers": CELL
    | LABORATORIES
    | COLOUR
    | MOST_LAYERS
    | Variant(augment={"uptake": 1.0}),
    "laboratories, colour, light, most layers": LIGHT
    | LABORATORIES
    | COLOUR
    | MOST_LAYERS
    | Variant(augment={"white_point": 0.05}),
    "laboratories, light": LIGHT | LABORATORIES,
    "laboratories, light+fade": BOTH | LABORATORIES,
    "light+microscopes": LIGHT | MICROSCOPES,
    "fade+microscopes": FADE | MICROSCOPES,
    "everything": BOTH | MICROSCOPES,
    "strong, gentle": CELL | STRONG | GENTLE,
    "strong, head": CELL | STRONG | Variant(train={"unfreeze": "head"}),
    "all layers": CELL | ALL_LAYERS,
    "strong, most layers": CELL | STRONG | MOST_LAYERS,
    "strong, all layers": CELL | STRONG | ALL_LAYERS,
    "microscopes, all layers": CELL | MICROSCOPES | ALL_LAYERS,
    "strong, most layers, fade": FADE | STRONG | MOST_LAYERS,
    "microscopes, most layers": CELL | MICROSCOPES | MOST_LAYERS,
    "strong, all layers, light": LIGHT | STRONG | ALL_LAYERS,
    "strong, all layers, fast": CELL
    | STRONG
    | ALL_LAYERS
    | Variant(train={"learning_rate": 0.001}),
    "strong, all layers, scale": CELL | STRONG | ALL_LAYERS | Variant(augment={"scale": 0.25}),
}
