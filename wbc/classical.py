"""The classical baseline at work: hand-made features, a scaler, multinomial logistic regression.

Its parameters are five arrays in model.safetensors, and its answer is computed from them here, in
numpy; scikit-learn only fits them (wbc.classical_training).
"""

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from safetensors.numpy import save as encoded

from wbc.handmade import extraction
from wbc.model import CARD_FILE, WEIGHTS_FILE, Card, Classifier, Outputs, write_card

Floats = NDArray[np.float64]

LIMIT: Final = 4.0  # standard deviations; further out, a feature says no more than at the limit


@dataclass(frozen=True)
class Parameters:
    """What was learned of F features and K classes, as float64 arrays."""

    mean: Floats  # (F,) of the training cells
    scale: Floats  # (F,) their standard deviation, 1 where a feature never changes
    coefficients: Floats  # (K, F)
    intercepts: Floats  # (K,)

    def standardised(self, features: Floats) -> Floats:
        """(N, F) in standard deviations of the training cells, at most LIMIT to either side."""
        return np.clip((features - self.mean) / self.scale, -LIMIT, LIMIT)

    def logits(self, standardised: Floats) -> Floats:
        """(N, K); their softmax is the probability of each class in the training set's mix."""
        return np.asarray(standardised @ self.coefficients.T + self.intercepts)


@dataclass(frozen=True)
class ClassicalClassifier(Classifier):
    """A classifier like the networks', whose `features` are the standardised hand-made ones."""

    network: None  # type: ignore[assignment]
    parameters: Parameters
    num_processes: int = 1  # that measure features; changes no number

    def _forward(self, pixels: NDArray[np.uint8]) -> Outputs:
        features = extraction.features_of(pixels, self.num_processes)
        standardised = self.parameters.standardised(features)
        logits = self.parameters.logits(standardised)
        return Outputs(logits.astype(np.float32), standardised.astype(np.float32))


def save(folder: Path, parameters: Parameters, card: Card) -> None:
    """Write model.safetensors and model.json; equal content gives equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "scaler.mean": parameters.mean,
        "scaler.scale": parameters.scale,
        "head.weight": parameters.coefficients,
        "head.bias": parameters.intercepts,
    }
    content = encoded({name: np.ascontiguousarray(x) for name, x in arrays.items()})
    (folder / WEIGHTS_FILE).write_bytes(content)
    write_card(folder / CARD_FILE, card)


def load(folder: Path, card: Card, num_processes: int = 1) -> ClassicalClassifier:
    """Read what `save` wrote.

    Raises:
        ValueError: the features it was trained on are not those that this code measures, or the
            arrays do not fit them.
    """
    if tuple(card["features"]) != extraction.NAMES:
        raise ValueError("its features are not those of this version of the code")
    arrays = load_file(folder / WEIGHTS_FILE)
    parameters = Parameters(
        arrays["scaler.mean"], arrays["scaler.scale"], arrays["head.weight"], arrays["head.bias"]
    )
    found = [x.shape for x in astuple(parameters)]
    num_classes, num_features = len(card["classes"]), len(extraction.NAMES)
    table = (num_classes, num_features)
    if found != [(num_features,), (num_features,), table, (num_classes,)]:
        raise ValueError(f"{WEIGHTS_FILE} holds arrays of other shapes")
    return ClassicalClassifier(None, card, "cpu", parameters, num_processes)
