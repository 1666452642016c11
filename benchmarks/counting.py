"""Which count is nearest to the truth when a slide's mix of types is not the training mix.

    python -m benchmarks.counting

A made-up classifier of five types in a plane of features, whose types lie where the hard pairs do
(monocyte and lymphocyte, neutrophil and eosinophil); its probabilities are exactly right for the
training mix (Raabin-WBC's). It is known from a validation set of that mix, and from a small one
with as many cells of each type. Slides with other mixes are drawn and counted in six ways; the
tables give mean absolute errors in percentage points over types and slides, and how often the 95 %
intervals hold a type's share of the mix, to a tenth of a percent. Also with probabilities that are
too sure, and in another laboratory, where features have moved. No file is read and the same numbers
are printed each time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wbc import adjusted_counts, counts
from wbc.cells import CLASSES
from wbc.metrics import confusion

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

TRAINING = np.array([6231, 2427, 561, 744, 212]) / 10175  # CLASSES' order, Raabin-WBC's Train
MIXES = {
    "as in training": TRAINING,
    "even": np.full(5, 0.2),
    "lymphocytosis": np.array([0.18, 0.75, 0.05, 0.015, 0.005]),
    "eosinophilia": np.array([0.40, 0.20, 0.05, 0.34, 0.01]),
    "monocytosis": np.array([0.45, 0.22, 0.30, 0.025, 0.005]),
    "no basophils": np.array([0.62, 0.28, 0.07, 0.03, 0.0]),
}
MIDDLES = np.array([[0, 0, 0], [4, 0, 0], [2.9, 2.4, 0], [0, 0, 3.1], [3, -3.2, 1]], np.float64)
NUM_SLIDES = 60
SIZES = (200, 400)
TENTH = 0.0005  # half of a tenth of a percent, in which laboratories report


@dataclass(frozen=True)
class World:
    """How far features have moved in the laboratory counted for, and how sure the classifier is."""

    words: str
    moved: float = 0.0  # of the features' standard deviation
    sureness: float = 1.0  # factor of the logits
    num_validation: int = 1500  # cells
    even: bool = False  # whether validation has as many cells of each type, else training's mix


WORLDS = (
    World("same laboratory, calibrated"),
    World("same laboratory, too sure (logits times 2)", sureness=2.0),
    World("another laboratory: features moved by 0.7 standard deviations", moved=0.7),
    World("same laboratory, 180 validation cells of even mix", num_validation=180, even=True),
)


def main() -> None:
    for world in WORLDS:
        for size in SIZES:
            print(f"\n{world.words}; slides of {size} cells\n")
            print_table(pd.DataFrame([one_mix(world, name, size) for name in MIXES]))


def print_table(table: pd.DataFrame) -> None:
    print("| " + " | ".join(table.columns) + " |\n|" + "---|" * table.shape[1])
    for row in table.itertuples(index=False):
        print("| " + " | ".join(str(value) for value in row) + " |", flush=True)


def one_mix(world: World, name: str, size: int) -> Mapping[str, str]:
    """A row: mean absolute errors of all ways of counting, and the coverage of both intervals."""
    rng = np.random.default_rng((size, list(MIXES).index(name), WORLDS.index(world)))
    wrong: dict[str, list[float]] = {way: [] for way in WAYS}
    held: dict[str, list[float]] = {"Rümke holds": [], "adjusted holds": []}
    for _ in range(NUM_SLIDES):
        home = World("", sureness=world.sureness)
        labels, p = draw(rng, MIXES["even"] if world.even else TRAINING, world.num_validation, home)
        _, slide = draw(rng, MIXES[name], size, world)
        for way, count in WAYS.items():
            wrong[way].append(float(np.abs(count(slide, labels, p) - MIXES[name]).mean()))
        low, high = plain_interval(slide)
        held["Rümke holds"].append(share_held(low, high, MIXES[name]))
        low, high = adjusted_interval(slide, labels, p)
        held["adjusted holds"].append(share_held(low, high, MIXES[name]))
    return {
        "mix": name,
        **{way: f"{100 * np.mean(values):.2f}" for way, values in wrong.items()},
        **{way: f"{np.mean(values):.0%}" for way, values in held.items()},
    }


def draw(rng: np.random.Generator, mix: Floats, size: int, world: World) -> tuple[Labels, Floats]:
    """Types (N,) drawn from `mix`, and probabilities (N, 5) of the made-up classifier."""
    labels = rng.choice(len(CLASSES), size, p=mix)
    features = rng.normal(MIDDLES[labels]) + world.moved * np.array([-0.3, 0.9, 0.3])
    distances = ((features[:, None] - MIDDLES) ** 2).sum(axis=2)
    logits = world.sureness * (np.log(TRAINING) - distances / 2)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return labels, p / p.sum(axis=1, keepdims=True)


def decided(slide: Floats, _labels: Labels, _p: Floats) -> Floats:
    """Count of logit-adjusted decisions."""
    return shares((slide / TRAINING).argmax(axis=1))


def counted(slide: Floats, _labels: Labels, _p: Floats) -> Floats:
    return shares(slide.argmax(axis=1))


def probabilistic(slide: Floats, _labels: Labels, _p: Floats) -> Floats:
    """Mean probabilities (Bella et al. 2010)."""
    return np.asarray(slide.mean(axis=0), np.float64)


def adjusted(slide: Floats, labels: Labels, p: Floats) -> Floats:
    """This project's: wbc.adjusted_counts.adjust."""
    found = np.bincount(slide.argmax(axis=1), minlength=5)
    return adjusted_counts.adjust(
        found, adjusted_counts.rates(confusion(labels, p.argmax(axis=1), 5))
    )


def probabilistic_adjusted(slide: Floats, labels: Labels, p: Floats) -> Floats:
    """Mean probabilities with the mean probabilities of each true type taken out."""
    means = np.stack([p[labels == true].mean(axis=0) for true in range(5)])
    return adjusted_counts.adjust(slide.mean(axis=0), means)


def prior_shift(slide: Floats, _labels: Labels, _p: Floats) -> Floats:
    """Saerens, Latinne & Decaestecker 2002: maximum likelihood of the mix from probabilities."""
    before = TRAINING  # which the probabilities suppose
    mix = before.copy()
    for _ in range(1000):
        posterior = slide * (mix / before)
        new = (posterior / posterior.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(new - mix).max() < 1e-7:
            break
        mix = new
    return mix


WAYS: dict[str, Callable[[Floats, Labels, Floats], Floats]] = {
    "logit-adjusted decisions": decided,
    "argmax of p": counted,
    "mean of p": probabilistic,
    "adjusted": adjusted,
    "adjusted mean of p": probabilistic_adjusted,
    "EM of p (Saerens)": prior_shift,
}


def plain_interval(slide: Floats) -> tuple[Floats, Floats]:
    found = np.bincount(slide.argmax(axis=1), minlength=5)
    low, high = counts.rumke(found, len(slide))
    return low / 100, high / 100


def adjusted_interval(slide: Floats, labels: Labels, p: Floats) -> tuple[Floats, Floats]:
    found = np.bincount(slide.argmax(axis=1), minlength=5)
    errors = confusion(labels, p.argmax(axis=1), 5)
    low, high = np.quantile(
        adjusted_counts.adjusted_draws(found, errors, 400), counts.TAILS, axis=0
    )
    return low, high


def share_held(low: Floats, high: Floats, mix: Floats) -> float:
    return float(np.mean((low - TENTH <= mix) & (mix <= high + TENTH)))


def shares(types: NDArray[np.int64] | Floats) -> Floats:
    return np.asarray(np.bincount(types.astype(np.int64), minlength=5) / len(types), np.float64)


if __name__ == "__main__":
    main()
