"""Whether an exported file says what the model says in PyTorch."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wbc.cells import CLASSES
from wbc.errors import UserError
from wbc.exporting.formats import Run
from wbc.model import Classifier, Outputs
from wbc.sources.drawing import draw, smear_look
from wbc.sources.sample import FIRST_MICROSCOPE

TOLERANCE: Final = 1e-4  # of the largest value; rounding alone gives some 1e-6
BATCHES: Final = (1, 2, 7)  # squares; a file for one size of batch only fails at another


@dataclass(frozen=True)
class Parity:
    """Largest differences, each relative to the largest absolute value that PyTorch gives."""

    logits: float
    features: float
    num_squares: int
    same_classes: bool

    def holds(self) -> bool:
        """False also for what is no number."""
        return self.same_classes and max(self.logits, self.features) <= TOLERANCE


def drawn_squares(size: int, num: int) -> NDArray[np.uint8]:
    """Drawn cells (N, S, S, 3) of all classes in turn, always the same."""
    rng = np.random.default_rng(1)
    look = smear_look(rng, FIRST_MICROSCOPE)
    labels = (CLASSES[number % len(CLASSES)] for number in range(num))
    return np.stack([draw(rng, label, size, look, FIRST_MICROSCOPE) for label in labels])


def compare(classifier: Classifier, run: Run) -> Parity:
    """Both on the same drawn squares, in batches of several sizes."""
    squares = drawn_squares(int(classifier.card["input"]["size"]), sum(BATCHES))
    batches = np.split(squares, np.cumsum(BATCHES)[:-1])
    wanted, given = classifier.all_outputs(batches), _joined([run(batch) for batch in batches])
    decided, decided_now = (
        classifier.decide(classifier.probabilities_of(outputs.logits, calibrated=False))
        for outputs in (wanted, given)
    )
    return Parity(
        relative_error(wanted.logits, given.logits),
        relative_error(wanted.features, given.features),
        len(squares),
        np.array_equal(decided, decided_now),
    )


def relative_error(wanted: NDArray[np.floating], given: NDArray[np.floating]) -> float:
    """Largest absolute difference over the largest absolute value wanted; NaN stays NaN."""
    largest = np.abs(wanted).max()
    return float(np.abs(given - wanted).max() / (largest or 1.0))


def check(classifier: Classifier, run: Run, name: str) -> Parity:
    """Raises UserError where the file does not say the same."""
    parity = compare(classifier, run)
    if not parity.holds():
        raise UserError(
            f"{name} was not written: on {parity.num_squares} drawn cells its logits should be"
            f" PyTorch's within {TOLERANCE:g} of the largest, with the same classes, but differ by"
            f" {parity.logits:.1g} (features {parity.features:.1g}, classes"
            f" {'the same' if parity.same_classes else 'not the same'}); install what"
            " requirements-onnx.txt and requirements.txt pin, and export again."
        )
    return parity


def _joined(parts: list[Outputs]) -> Outputs:
    return Outputs(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.features for part in parts]),
    )
