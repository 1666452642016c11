"""How often the 95 % intervals hold the true score, on decisions drawn from known recalls.

python -m benchmarks.coverage [--of scores|classes] [--draws 400] [--replicates 500]

`scores` are those of the decisions as a whole and of the calibration; `classes` those of single
classes (their mean share, and in brackets the lowest class's), areas, log loss.

Cells are drawn with the class mix of a differential count. With smears, a smear's recalls differ
from the mean as a beta distribution does whose intraclass correlation is given, all classes of it
together. A share below 0.95 means intervals that are too narrow.

How sure the model is of a cell varies as a beta distribution about the recall. Before calibration
(`ece_uncalibrated`) it says too much, the log-odds times 1.5; after it (`ece`, `brier`) it is
perfectly calibrated, so that the true error is 0.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta

from wbc import calibration, ece_interval, resampling
from wbc.cells import CLASSES
from wbc.class_intervals import class_intervals
from wbc.intervals import COUNTED, Judged, confusion_scores, score_intervals
from wbc.scoring import plain_scores

MIX = (0.61, 0.24, 0.07, 0.055, 0.025)  # the shares of the five classes in blood
SPREAD, TOO_SURE = 3.0, 1.5  # of how sure it is: the beta's concentration; times the log-odds
MANY = 400_000  # cells that stand for endlessly many
SCORES = (*COUNTED, "brier", "ece", "ece_uncalibrated")
OF_CLASSES = (
    "precision", "f1", "auroc", "average_precision", "auroc_macro", "average_precision_macro",
    "log_loss", "aurc",
)  # fmt: skip
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
    parser.add_argument("--of", choices=("scores", "classes"), default="scores")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--replicates", type=int, default=500)
    arguments = parser.parse_args()
    resampling.NUM_REPLICATES = arguments.replicates  # type: ignore[misc]
    ece_interval.NUM_SIMULATED = arguments.replicates  # type: ignore[misc]
    whole = arguments.of == "scores"
    names, of_draws = (SCORES, covered) if whole else (OF_CLASSES, covered_classes)
    print("| cells | smears | ICC | recalls |", " | ".join(names), "|")
    print("|---" * (4 + len(names)) + "|")
    for case in CASES:
        hits = list(of_draws(case, arguments.draws))
        shares = [_share([hit[name] for hit in hits]) for name in names]
        recalls = " ".join(f"{recall:g}" for recall in case.recalls)
        smears = case.num_smears or "–"
        print(
            f"| {case.num_cells} | {smears} | {case.icc:g} | {recalls} |",
            " | ".join(shares),
            "|",
            flush=True,
        )


def _share(hits: list[bool] | list[list[bool]]) -> str:
    """Of draws (D,), or of draws and classes (D, K): their mean and the lowest class's."""
    shares = np.mean(hits, axis=0)
    return f"{shares:.3f}" if shares.ndim == 0 else f"{shares.mean():.3f} ({shares.min():.3f})"


def covered(case: Case, num_draws: int) -> Iterator[dict[str, bool]]:
    """Of each draw, whether the interval of each score holds the true one."""
    truth = true_scores(case)
    for seed in range(num_draws):
        judged, smears = draw(case, np.random.default_rng((seed, case.num_cells)))
        found = score_intervals(judged, smears)
        yield {name: _holds(found[name], truth[name]) for name in SCORES}


def covered_classes(case: Case, num_draws: int) -> Iterator[dict[str, Any]]:
    """Of each draw, whether the interval of each of OF_CLASSES holds the true one; a list where
    every class has one."""
    many = class_counts(case) * (MANY // class_counts(case).sum())
    truth = plain_scores(draw_cells(many, Case(MANY, case.recalls), np.random.default_rng(0))[0])
    for name in ("auroc", "average_precision"):
        truth[f"{name}_macro"] = float(np.mean(list(truth[name].values())))
    for seed in range(num_draws):
        judged, smears = draw(case, np.random.default_rng((seed, case.num_cells)))
        found = class_intervals(plain_scores(judged), judged, smears, CLASSES)
        yield {
            name: [_holds(found[name][label], truth[name][label]) for label in CLASSES]
            if isinstance(truth[name], dict)
            else _holds(found[name], truth[name])
            for name in OF_CLASSES
        }


def _holds(interval: Mapping[str, float], truth: float) -> bool:
    return interval["low"] - 1e-9 <= truth <= interval["high"] + 1e-9


def true_scores(case: Case) -> dict[str, float]:
    """Of endlessly many cells with the class counts that are drawn; mistakes spread evenly."""
    recalls, counts = np.array(case.recalls), class_counts(case)
    shares = np.repeat((1 - recalls)[:, None] / 4, 5, axis=1)
    np.fill_diagonal(shares, recalls)
    found = {k: float(v) for k, v in confusion_scores(shares * counts[:, None]).items()}
    return found | {"ece": 0.0} | _true_calibration(recalls, counts)


def _true_calibration(recalls: NDArray[np.float64], counts: NDArray[np.int64]) -> dict[str, float]:
    rng = np.random.default_rng(0)
    chance = how_sure(rng.choice(recalls, MANY, p=counts / counts.sum()), rng)
    wrong = 1 - chance
    squares = chance * wrong**2 * 1.25 + wrong * (
        chance**2 + (1 - wrong / 4) ** 2 + 3 / 16 * wrong**2
    )
    said = expit(TOO_SURE * logit(chance))
    gaps = np.bincount(calibration.bin_of(said), said - chance, calibration.NUM_BINS)
    return {"brier": float(squares.mean()), "ece_uncalibrated": float(np.abs(gaps).sum() / MANY)}


def how_sure(recalls: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(N,) the chance of each cell to be named rightly, `recalls` (N,) on average."""
    chances = rng.beta(SPREAD * recalls, SPREAD * (1 - recalls))
    return np.asarray(np.clip(chances, 1e-6, 1 - 1e-6))


def class_counts(case: Case) -> NDArray[np.int64]:
    return np.maximum(1, np.round(np.array(MIX) * case.num_cells)).astype(np.int64)


def draw(case: Case, rng: np.random.Generator) -> tuple[Judged, NDArray[np.int64] | None]:
    """Decisions on one set, and the smears of its cells."""
    return draw_cells(class_counts(case), case, rng)


def draw_cells(
    counts: NDArray[np.int64], case: Case, rng: np.random.Generator
) -> tuple[Judged, NDArray[np.int64] | None]:
    """The same for so many cells (5,) of each class."""
    labels = rng.permutation(np.repeat(np.arange(5), counts))
    sure, smears = how_sure(np.array(case.recalls)[labels], rng), None
    chances = sure
    if case.num_smears:
        _, smears = np.unique(rng.integers(case.num_smears, size=len(labels)), return_inverse=True)
        concentration = (1 - case.icc) / case.icc
        quality = rng.random(case.num_smears)[smears]
        chances = beta.ppf(quality, sure * concentration, (1 - sure) * concentration)
    elsewhere = (labels + rng.integers(1, 5, size=len(labels))) % 5
    decisions = np.where(rng.random(len(labels)) < chances, labels, elsewhere)
    too_sure = expit(TOO_SURE * logit(sure))
    return Judged(labels, decisions, _spread(too_sure, decisions), _spread(sure, decisions)), smears


def _spread(sure: NDArray[np.float64], decisions: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, 5) probabilities: `sure` of the decision, the rest evenly."""
    probabilities = np.repeat((1 - sure)[:, None] / 4, 5, axis=1)
    probabilities[np.arange(len(sure)), decisions] = sure
    return probabilities


if __name__ == "__main__":
    main()
