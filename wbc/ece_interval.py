"""The 95 % interval of the expected calibration error, by inverting a test.

ECE sums absolute values, so chance alone makes it larger than 0, and a bootstrap adds that chance
once more: of a well calibrated model its interval held 0 half of the time only. Here truths are
tried instead: calibration that is off by this or that much. Each is simulated, and those stay that
would have given the estimate at hand in their middle 95 % (Casella and Berger 2002, "Statistical
Inference", section 9.2.1). For a perfectly calibrated model the simulation is the consistency
resampling of Bröcker and Smith 2007 (doi:10.1175/WAF993.1).
How often the interval holds the truth: `python -m benchmarks.coverage`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wbc import calibration
from wbc.binomial import LEVEL

NUM_SIMULATED: Final = 500  # estimates of each truth that is tried
SEED: Final = 20070615  # of all of them: what differs between two truths is not chance
_STEPS: Final = 11  # of bisection: limits to 0.0005

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bins:
    """The bins that hold cells, each (B,): how many, their mean confidence, the share right."""

    num_cells: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats

    def ece(self, accuracy: Floats) -> Floats:
        """ECE (...,), were these (..., B) the accuracies of the bins."""
        shares = self.num_cells / self.num_cells.sum()
        return np.asarray((shares * np.abs(self.confidence - accuracy)).sum(axis=-1))


def bins_of(confidence: Floats, right: NDArray[np.bool_]) -> Bins:
    """Of N cells: (N,) how sure each decision was, and whether it is right."""
    table = calibration.reliability(confidence, right)
    table = table[table["num_cells"] > 0]
    return Bins(*(table[name].to_numpy() for name in ("num_cells", "confidence", "accuracy")))


def design_effect(bins: Bins, gaps: Floats, widened: float = 1.0) -> float:
    """How much more bins vary over smears than over independent cells would (Kish 1965), from 1.

    Bin by bin or all bins together, whichever is more: a bad smear may be bad in all of them.

    Args:
        gaps: (R, NUM_BINS) of replicates over smears, as shares of all cells.
        widened: what few smears make intervals wider by.
    """
    expected = float((bins.num_cells * bins.accuracy * (1 - bins.accuracy)).sum())
    if expected == 0:
        return 1.0
    found = max(gaps.var(axis=0).sum(), gaps.sum(axis=1).var()) * float(bins.num_cells.sum()) ** 2
    return max(1.0, float(found / expected * widened**2))


def ece_interval(bins: Bins, design_effect: float = 1.0) -> tuple[float, float]:
    """The limits of ECE, which hold the estimate; the lower one is 0 where chance explains it.

    The lower limit is sought along the gaps that were seen, from none to all of them. The upper
    one is the farthest of three: along these gaps, with the model too sure everywhere, and not
    sure enough anywhere; what few cells did not show may lie on the other side.

    Args:
        design_effect: how much larger the variance is than that of independent cells, from 1.
    """
    value, perfect = float(bins.ece(bins.accuracy)), bins.confidence
    gaps = perfect - bins.accuracy
    outside = (1 - LEVEL) / 2
    noise = float(np.sqrt(design_effect))

    def is_too_small(truth: Floats) -> bool:
        return float(np.quantile(_estimates(bins, truth, noise), 1 - outside)) < value

    def is_small_enough(truth: Floats) -> bool:
        return float(np.quantile(_estimates(bins, truth, noise), outside)) <= value

    low = _farthest(bins, gaps, is_too_small) if is_too_small(perfect) else 0.0
    highest = [value]
    if is_small_enough(perfect):
        ways = (gaps, perfect, perfect - 1)
        highest += [_farthest(bins, way, is_small_enough) for way in ways if way.any()]
    return min(low, value), max(highest)


def _farthest(bins: Bins, way: Floats, holds: Callable[[Floats], bool]) -> float:
    """The largest ECE for which a truth `holds`, as it does without error, by bisection.

    `way` (B,): how confidences less accuracies relate to each other, until they meet 0 or 1.
    """
    way = way / bins.ece(bins.confidence - way)
    near, at, step = bins.confidence, 0.0, 1.0
    for _ in range(_STEPS):
        step /= 2
        truth = np.clip(bins.confidence - (at + step) * way, 0, 1)
        if holds(truth):
            near, at = truth, at + step
    return float(bins.ece(near))


def _estimates(bins: Bins, truth: Floats, noise: float) -> Floats:
    """(NUM_SIMULATED,) ECE as such sets would show it, if the bins' accuracies were `truth`."""
    draw = np.random.default_rng(SEED)
    shape = (NUM_SIMULATED, len(truth))
    seen = draw.binomial(bins.num_cells, truth, shape) / bins.num_cells
    return bins.ece(truth + noise * (seen - truth))
