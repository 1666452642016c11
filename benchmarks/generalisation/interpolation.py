"""Weights between those that training starts from and those that it ends with.

    python -m benchmarks.generalisation.interpolation --pbc DIR --weights FILE --work DIR

takes models of the study (trained unless they are there) and mixes all but the head with the start
(Wortsman et al. 2022, arXiv 2109.01903): share * trained + (1 - share) * start. Balanced accuracy
in the simulated laboratories and on PBC itself, for each share. The head is the trained one: a new
five-class head has no start that knows anything.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd
import torch

from benchmarks.generalisation import table
from benchmarks.generalisation.arguments import study_arguments, study_of
from benchmarks.generalisation.cells import divided
from benchmarks.generalisation.microscopes import LABORATORIES
from benchmarks.generalisation.study import Study, answers, model_folder, predictions
from benchmarks.generalisation.variants import VARIANTS
from wbc import model
from wbc.backbones import Network, load_start

SHARES: Final = (1.0, 0.9, 0.75, 0.5)


def main() -> None:
    arguments = study_arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    study = study_of(arguments)
    if study.weights is None:
        sys.exit("error: --weights should name a file to start from, not none.")
    cells = divided(arguments.pbc, study.raw_dir)
    print("| variant | share of trained weights | mean of laboratories | worst | test |")
    print("|---|---|---|---|---|", flush=True)
    for name in arguments.variants:
        for share in SHARES:
            tables = [mixed(study, name, seed, cells, share) for seed in arguments.seeds]
            print(f"| {name} | {share:g} | {' | '.join(shown(tables))} |", flush=True)


def mixed(study: Study, name: str, seed: int, cells: pd.DataFrame, share: float) -> pd.DataFrame:
    """predictions.csv of the variant's model with its body `share` of the way from the start."""
    variant = VARIANTS[name]
    trained = answers(study, name, variant, seed, cells)
    if share == 1.0:
        return trained
    assert study.weights is not None
    preprocess, _ = variant.settings(study.params, study.size, study.epochs)
    classifier = model.load(model_folder(study, name, variant, seed))
    interpolate(classifier.network, start_of(study.network, study.weights), share)
    return predictions(classifier, study.store(cells, preprocess), [*LABORATORIES, "test"])


def start_of(architecture: str, weights: Path) -> Network:
    network = Network(architecture, 0.0, frozen_batch_norm=True)
    load_start(network, torch.load(weights, map_location="cpu", weights_only=True), str(weights))
    return network


def interpolate(network: Network, start: Network, share: float) -> None:
    """Move the weights and statistics of all but the head towards `start`, in place."""
    head = {id(parameter) for parameter in network.head_parameters()}
    pairs = zip(network.net.state_dict(keep_vars=True).values(),
                start.net.state_dict().values(), strict=True)  # fmt: skip
    with torch.no_grad():
        for own, other in pairs:
            if id(own) not in head and own.is_floating_point():
                own.lerp_(other.to(own.dtype), 1 - share)


def shown(tables: Sequence[pd.DataFrame]) -> list[str]:
    score = "balanced_accuracy"
    mean = table.mean_scores(tables, *LABORATORIES)[score]
    worst = min(table.mean_scores(tables, each)[score][0] for each in LABORATORIES)
    test = table.mean_scores(tables, "test")[score]
    return [table.percent(mean), f"{100 * worst:.1f}", table.percent(test, interval=False)]


if __name__ == "__main__":
    main()
