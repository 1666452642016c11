"""train@ARCH: fine-tune one network on the store's train part, choose the epoch on its val part."""

import logging
import shutil
import sys
from pathlib import Path

import pandas as pd

from stages._run import run, scratch_dir
from wbc import device, model, params, tracking, training
from wbc.backbones import Network
from wbc.card import make_card
from wbc.cells import write_table
from wbc.pixels import open_store
from wbc.plan import make_plan
from wbc.start import load_into, read_start

log = logging.getLogger(__name__)


def main() -> None:
    architecture = sys.argv[1]
    settings = params.load(Path("params.yaml"))
    model_dir = Path("models") / architecture
    chosen = device.pick(settings.train.device, settings.train.precision, settings.train.threads)
    log.info("training %s on %s", architecture, chosen.name)
    flat = params.flatten(settings, architecture)
    with tracking.training_run(architecture, flat, chosen.name) as live:
        outcome, card = train(architecture, settings, chosen, live.log_epoch)
        write_table(pd.DataFrame(outcome.history), model_dir / "history.csv")
        model.save(model_dir, outcome.network, card)
        live.finish(model_dir)


def train(
    architecture: str,
    settings: params.Params,
    chosen: device.Device,
    on_epoch: training.OnEpoch,
) -> tuple[training.Outcome, model.Card]:
    """Build the network at its start, fit it, and write down what it is."""
    start_dir = Path("models") / architecture / "start"
    store, start = open_store(Path("data/pixels")), read_start(start_dir)
    pretrained = start.start != "random"
    plan = make_plan(settings.train, settings.seed, pretrained, store.part("train").labels)
    network = build(architecture, settings, pretrained)
    load_into(network, start_dir)
    scratch = scratch_dir(f"train-{architecture}")
    try:
        outcome = training.fit(network, store, plan, chosen, scratch, on_epoch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return outcome, make_card(architecture, settings, store, start, plan, outcome)


def build(architecture: str, settings: params.Params, pretrained: bool) -> Network:
    """The network with its random parts drawn from the seed.

    A random start has no batch-norm statistics to keep, so there they are never frozen.
    """
    frozen = pretrained and settings.train.batch_norm != "train"
    training.seed_everything(settings.seed)
    return Network(architecture, settings.model.dropout, frozen_batch_norm=frozen)


if __name__ == "__main__":
    run(main)
