"""How often the 95 % intervals hold the true score, on decisions drawn from known recalls.

python -m benchmarks.coverage [--draws 400] [--replicates 500]

Cells are drawn with the class mix of a differential count. With smears, a smear's recalls differ
from the mean as a beta distribution does whose intraclass correlation is given, all classes of it
together. A share below 0.95 means intervals that are too narrow.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from wbc import intervals
from wbc.intervals import COUNTED, Judged, confusion_scores, score_intervals

MIX = (0.61, 0.24, 0.07, 0.055, 0.025)  # the shares of the five classes in blood
EVEN, GOOD, MIXED = (0.95,) * 5, (0.99,) * 5, (0.98, 0.95, 0.85, 0.8, 0.9)


@dataclass(frozen=True)
class Case:
    """What is drawn: `num_smears` 0 for independent cells; `icc` between smears."""

    num_cells: int
    recalls: tuple[float, ...]
    num_smears: int = 0
    icc: float = 0.0


CASES = (
    *(Case(n, recalls) for n in (40, 100, 500) for recalls in (EVEN, GOOD, MIXED)),
    *(Case(n, MIXED, g, icc) for n, g in ((500, 6), (100, 10), (300, 20), (500, 30))
      for icc in (0.02, 0.1)),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--replicates", type=int, default=500)
    arguments = parser.parse_args()
    intervals.NUM_REPLICATES = arguments.replicates  # type: ignore[misc]
    print("| cells | smears | ICC | recalls |", " | ".join(COUNTED), "|")
    print("|---" * (4 + len(COUNTED)) + "|")
    for case in CASES:
        hits = list(covered(case, arguments.draws))
        shares = [f"{np.mean([hit[name] for hit in hits]):.3f}" for name in COUNTED]
        recalls = " ".join(f"{recall:g}" for recall in case.recalls)
        smears = case.num_smears or "–"
        print(
            f"| {case.num_cells} | {smears} | {case.icc:g} | {recalls} |", " | ".join(shares), "|"
        )


def covered(case: Case, num_draws: int) -> Iterator[dict[str, bool]]:
    """Of each draw, whether the interval of each score holds the true one."""
    truth = true_scores(case)
    for seed in range(num_draws):
        judged, smears = draw(case, np.random.default_rng((seed, case.num_cells)))
        found = score_intervals(judged, smears)
        yield {
            name: found[name]["low"] - 1e-9 <= truth[name] <= found[name]["high"] + 1e-9
            for name in COUNTED
        }


def true_scores(case: Case) -> dict[str, float]:
    """Of endlessly many cells with the class counts that are drawn; mistakes spread evenly."""
    recalls, counts = np.array(case.recalls), class_counts(case)
    shares = np.repeat((1 - recalls)[:, None] / 4, 5, axis=1)
    np.fill_diagonal(shares, recalls)
    return {k: float(v) for k, v in confusion_scores(shares * counts[:, None]).items()}


def class_counts(case: Case) -> NDArray[np.int64]:
    return np.maximum(1, np.round(np.array(MIX) * case.num_cells)).astype(np.int64)


def draw(case: Case, rng: np.random.Generator) -> tuple[Judged, NDArray[np.int64] | None]:
    """Decisions on one set, and the smears of its cells."""
    labels = rng.permutation(np.repeat(np.arange(5), class_counts(case)))
    recalls, smears = np.array(case.recalls)[labels], None
    if case.num_smears:
        _, smears = np.unique(rng.integers(case.num_smears, size=len(labels)), return_inverse=True)
        concentration = (1 - case.icc) / case.icc
        quality = rng.random(case.num_smears)[smears]
        recalls = beta.ppf(quality, recalls * concentration, (1 - recalls) * concentration)
    elsewhere = (labels + rng.integers(1, 5, size=len(labels))) % 5
    decisions = np.where(rng.random(len(labels)) < recalls, labels, elsewhere)
    probabilities = np.full((len(labels), 5), 0.05)
    probabilities[np.arange(len(labels)), decisions] = 0.8
    return Judged(labels, decisions, probabilities, probabilities), smears


if __name__ == "__main__":
    main()
