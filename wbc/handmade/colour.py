"""Colour of nucleus and cytoplasm as light that the stain absorbs, and as the eye sees it.

Azure B, which colours chromatin and basophilic cytoplasm, absorbs red; eosin and the purple complex
absorb green; haemoglobin absorbs blue. Optical densities are measured against the bare glass, so
lamp and exposure divide out, and the ratios to the nucleus divide out how long was stained.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from wbc.handmade.feature import Feature
from wbc.handmade.segmentation import Segmented
from wbc.masks import Mask
from wbc.staining import FAINT

CHANNELS: Final = ("red", "green", "blue")
LAB: Final = ("lightness", "green_red", "blue_yellow")
PARTS: Final = ("nucleus", "cytoplasm")

FEATURES: Final = (
    *(
        feature
        for part in PARTS
        for feature in (
            *(
                Feature(
                    f"{part}_{channel}_{what}", "optical density", f"{words} in {channel} light"
                )
                for channel in CHANNELS
                for what, words in (("mean", "mean absorbed"), ("sd", "spread of what is absorbed"))
            ),
            *(
                Feature(f"{part}_{axis}_{what}", "CIELAB", f"{words} of the axis {axis}")
                for axis in LAB
                for what, words in (("mean", "mean"), ("sd", "standard deviation"))
            ),
            Feature(f"{part}_eosin", "1", "green less red density, over the whole: eosin"),
            Feature(f"{part}_violet", "1", "green less blue density, over the whole: azure-eosin"),
            Feature(f"{part}_pale", "optical density", "10th percentile in green light"),
            Feature(f"{part}_dark", "optical density", "90th percentile in green light"),
        )
    ),
    *(
        Feature(f"cytoplasm_to_nucleus_{channel}", "1", f"ratio of mean densities in {channel}")
        for channel in CHANNELS
    ),
    Feature("cytoplasm_eosin_share", "share", "of the cytoplasm: more eosin than azure"),
    Feature("cytoplasm_dark_share", "share", "of the cytoplasm: as dark as the nucleus's mean"),
)


def measure(cell: Segmented, cytoplasm: Mask) -> dict[str, float]:
    """The values of FEATURES; `cytoplasm` is never empty."""
    values: dict[str, float] = {}
    for part, mask in zip(PARTS, (cell.nucleus, cytoplasm), strict=True):
        lab = rgb2lab(cell.pixels[mask])
        values |= _part(part, cell.densities[:, mask].astype(np.float64), lab.T)
    nucleus, plasma = cell.densities[:, cell.nucleus], cell.densities[:, cytoplasm]
    ratios = plasma.mean(axis=1) / (nucleus.mean(axis=1) + FAINT)
    values |= {f"cytoplasm_to_nucleus_{c}": float(r) for c, r in zip(CHANNELS, ratios, strict=True)}
    values["cytoplasm_eosin_share"] = float((plasma[1] > 2 * plasma[0] + FAINT).mean())
    values["cytoplasm_dark_share"] = float((plasma[1] > nucleus[1].mean()).mean())
    return values


def _part(part: str, densities: NDArray[np.float64], lab: NDArray[np.float64]) -> dict[str, float]:
    """Of one region: densities (3, n) and CIELAB (3, n) of its pixels."""
    values = {}
    for names, rows in ((CHANNELS, densities), (LAB, lab)):
        for name, row in zip(names, rows, strict=True):
            values[f"{part}_{name}_mean"] = float(row.mean())
            values[f"{part}_{name}_sd"] = float(row.std())
    red, green, blue = densities.mean(axis=1)
    whole = red + green + blue + FAINT
    values[f"{part}_eosin"] = float((green - red) / whole)
    values[f"{part}_violet"] = float((green - blue) / whole)
    pale, dark = np.quantile(densities[1], (0.1, 0.9))
    return values | {f"{part}_pale": float(pale), f"{part}_dark": float(dark)}
