"""train@ARCH: fine-tune one network on the store's train part, choose the epoch on its val part."""

import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages._run import code_sha256, run, scratch_dir
from wbc import device, model, params, processes, tracking, training
from wbc.backbones import Network
from wbc.card import make_card, recorded
from wbc.cells import write_table
from wbc.pixels import PixelStore, open_store
from wbc.plan import Plan, make_plan
from wbc.start import Start, load_into, read_start

log = logging.getLogger(__name__)


def main() -> None:
    architecture = sys.argv[1]
    settings = params.load(Path("params.yaml"))
    processes.end_with_dvc()
    model_dir = Path("models") / architecture
    chosen = device.pick(settings.train.device, settings.train.precision, settings.train.threads)
    log.info("training %s on %s", architecture, chosen.name)
    job = prepare(architecture, settings, model_dir / "start")
    flat = params.flatten(settings, architecture)
    with (
        scratch_dir(f"train-{architecture}", *identity(job, flat)) as scratch,
        tracking.training_run(architecture, flat, chosen.name, scratch / "mlflow_run") as live,
    ):
        outcome = training.fit(job.network, job.store, job.plan, chosen, scratch, live.log_epoch)
        card = make_card(architecture, settings, job.store, job.start, job.plan, outcome)
        write_table(pd.DataFrame(outcome.history), model_dir / "history.csv")
        model.save(model_dir, outcome.network, card)
        live.finish(model_dir)


@dataclass(frozen=True)
class Job:
    """All that a training starts from."""

    store: PixelStore
    start: Start
    plan: Plan
    network: Network


def prepare(architecture: str, settings: params.Params, start_dir: Path) -> Job:
    """Open the pixels and build the network at its start."""
    store, start = open_store(Path("data/pixels")), read_start(start_dir)
    pretrained = start.start != "random"
    plan = make_plan(settings.train, settings.seed, pretrained, store.part("train").labels)
    network = build(architecture, settings, pretrained)
    load_into(network, start_dir)
    return Job(store, start, plan, network)


def identity(job: Job, flat: dict[str, Any]) -> tuple[str, ...]:
    """What decides the outcome: only a training that agrees in all of it may be continued."""
    parameters = json.dumps(recorded(flat), sort_keys=True)
    return parameters, str(job.store.settings["sha256"]), job.start.sha256, code_sha256()


def build(architecture: str, settings: params.Params, pretrained: bool) -> Network:
    """The network with its random parts drawn from the seed.

    A random start has no batch-norm statistics to keep, so there they are never frozen.
    """
    frozen = pretrained and settings.train.batch_norm != "train"
    training.seed_everything(settings.seed)
    return Network(architecture, settings.model.dropout, frozen_batch_norm=frozen)


if __name__ == "__main__":
    run(main)
