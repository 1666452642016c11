"""train@ARCH: fine-tune one network on the store's train part, choose the epoch on its val part."""

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


def main() -> None:
    architecture = sys.argv[1]
    settings = params.load(Path("params.yaml"))
    model_dir = Path("models") / architecture
    with tracking.training_run(architecture, params.flatten(settings, architecture)) as live:
        outcome, card = train(architecture, settings, model_dir / "start", live.log_epoch)
        write_table(pd.DataFrame(outcome.history), model_dir / "history.csv")
        model.save(model_dir, outcome.network, card)
        live.finish(model_dir)


def train(
    architecture: str, settings: params.Params, start_dir: Path, on_epoch: training.OnEpoch
) -> tuple[training.Outcome, model.Card]:
    """Build the network at its start, fit it, and write down what it is."""
    store, start = open_store(Path("data/pixels")), read_start(start_dir)
    chosen = device.pick(settings.train.device, settings.train.precision, settings.train.threads)
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
    """The network with its random parts drawn from the seed."""
    choice = settings.train.batch_norm
    frozen = pretrained if choice == "auto" else choice == "frozen"
    training.seed_everything(settings.seed)
    return Network(architecture, settings.model.dropout, frozen_batch_norm=frozen)


if __name__ == "__main__":
    run(main)
