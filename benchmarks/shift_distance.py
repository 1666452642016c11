"""Which distance tells another laboratory's cells, and a network's errors there, best.

Run where `dvc repro` has run with an external source:

    python -m benchmarks.shift_distance mobilenet_v2 krd-wbc
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from wbc import model
from wbc.class_intervals import auroc_limits
from wbc.evaluation import predict
from wbc.pixels import open_store
from wbc.reference_cells import training_cells
from wbc.shift_report import reference_set

Rows = NDArray[np.float32]
Values = NDArray[np.float64]
Distance = Callable[[Rows], Values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architecture")
    parser.add_argument("external", help="name of the external set")
    options = parser.parse_args()
    store = open_store(Path("data/pixels"))
    classifier = model.load(Path("models") / options.architecture)
    own = reference_set([s for s in store.evaluation_sets() if s != options.external])
    train = training_cells(store.part("train"))
    parts = [store.part(name) for name in ("val", own, options.external)]
    learned = predict(classifier, train, 64).features
    outputs = [predict(classifier, part, 64) for part in parts]
    decided = classifier.decide(classifier.probabilities_of(outputs[2].logits, calibrated=False))
    wrong = decided != parts[2].labels
    print(f"{options.architecture} {model.model_sha256(Path('models') / options.architecture)[:8]}")
    print(f"| distance | {own}: AUROC, far | {options.external}: AUROC, far | its errors: AUROC |")
    print("|---|---:|---:|---:|")
    for name, distance in candidates(learned, train.labels):
        val, test, external = (distance(each.features) for each in outputs)
        cells = " | ".join(f"{_auroc(val, x)}, {_far(val, x):.1%}" for x in (test, external))
        print(f"| {name} | {cells} | {_auroc(external[~wrong], external[wrong])} |", flush=True)


def candidates(train: Rows, labels: NDArray[np.int64]) -> Iterator[tuple[str, Distance]]:
    """Neighbours for several k, on the sphere and off it; Mahalanobis, global and by class."""
    for k in (1, 5, 10, 50):
        yield f"neighbour {k}, unit length", _neighbour(_unit(train), k, _unit)
        yield f"neighbour {k}, as it is", _neighbour(train, k, np.asarray)
    every = LedoitWolf().fit(train)
    yield "Mahalanobis (Ledoit and Wolf)", lambda x: np.sqrt(every.mahalanobis(x))
    classes, own = np.unique(labels, return_inverse=True)
    means = np.stack([train[labels == k].mean(axis=0) for k in classes])
    within = LedoitWolf(assume_centered=True).fit(train - means[own])
    yield (
        "Mahalanobis to the nearest class (Lee et al. 2018)",
        lambda x: np.sqrt(np.min([within.mahalanobis(x - mean) for mean in means], axis=0)),
    )


def _neighbour(train: Rows, k: int, prepare: Callable[[Rows], Rows]) -> Distance:
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(train)
    return lambda x: np.asarray(search.kneighbors(prepare(x))[0][:, -1])


def _unit(x: Rows) -> Rows:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def _auroc(usual: Values, other: Values) -> str:
    """With its 95 % interval."""
    far = np.repeat([0, 1], [len(usual), len(other)])
    area = float(roc_auc_score(far, np.concatenate([usual, other])))
    low, high = auroc_limits(area, len(other), len(usual))
    return f"{area:.3f} ({low:.3f}-{high:.3f})"


def _far(usual: Values, other: Values) -> float:
    return float((other > np.quantile(usual, 0.99)).mean())


if __name__ == "__main__":
    main()
