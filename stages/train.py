"""train@ARCH: fine-tune one network on the store's train part, choose the epoch on its val part.

Once for each of `train.seeds`, one after the other: the first seed's model is the network's model,
the others lie in its folder seeds/ and show how much is luck.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages._run import code_sha256, named_architecture, run, scratch_dir
from wbc import device, launching, model, params, reference, reference_cells, training
from wbc.backbones import Network
from wbc.card import make_card, recorded, with_temperature
from wbc.cells import CLASSICAL, write_table
from wbc.pixels import PixelStore, open_store
from wbc.plan import Plan, make_plan, refuse_caching_few
from wbc.reference import REFERENCE_FILE, Reference
from wbc.seeds import OTHERS, write_others
from wbc.start import Start, read_start
from wbc.team import Team, ending_with_the_others, read_team
from wbc.tracking import runs as tracking
from wbc.weight_files import load_into

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """All that a training starts from."""

    store: PixelStore
    start: Start
    plan: Plan
    network: Network


@dataclass(frozen=True)
class Place:
    """Where and with whom a training runs; `scratch` is its own folder."""

    device: device.Device
    where: str
    team: Team
    scratch: Path


def main() -> None:
    settings = params.load(Path("params.yaml"))
    architecture = named_architecture(settings.architectures)
    if architecture == CLASSICAL:
        # Late, because it brings scikit-image, which no network needs.
        from stages import _classical

        _classical.train(settings)
    elif launching.must_launch(settings.train.processes, os.environ):
        launching.launch("stages.train", [architecture], settings.train.processes)
    else:
        with launching.reporting():
            train(architecture, settings, read_team(os.environ, settings.train.processes))


def train(architecture: str, settings: params.Params, team: Team) -> None:
    """One process's part of all trainings; the first one writes the outputs."""
    chosen = device.pick(
        settings.train.device,
        settings.train.precision,
        settings.train.threads,
        team.local_rank,
        team.local_size,
    )
    where = chosen.name if team.size == 1 else f"{team.size} x {chosen.name}"
    if not team.leads:
        logging.getLogger().setLevel(logging.WARNING)
    log.info("training %s on %s", architecture, where)
    model_dir = Path("models") / architecture
    seeds = params.each_seed(settings)
    with team.joined(chosen.type), ending_with_the_others(), ExitStack() as until_all_are_trained:
        if team.leads:
            make_empty(model_dir / OTHERS)
            write_others(model_dir, [own.seed for own in seeds[1:]])
        for number, own in enumerate(seeds):
            if len(seeds) > 1:
                log.info("seed %d, %d of %d", own.seed, number + 1, len(seeds))
            job = prepare(architecture, own, model_dir / "start")
            facts = identity(job, params.flatten(own, architecture))
            scratch = until_all_are_trained.enter_context(
                shared_scratch(team, f"train-{architecture}", facts, chosen.exactly)
            )
            trained = train_once(architecture, own, job, Place(chosen, where, team, scratch))
            if team.leads:
                target = model_dir / OTHERS / str(own.seed) if number else model_dir
                shutil.copytree(trained, target, dirs_exist_ok=True)


def train_once(architecture: str, settings: params.Params, job: Job, place: Place) -> Path:
    """One training, to the end; the folder in `scratch` with its model and history.

    A training that had been finished when another one was interrupted is not done again.
    """
    scratch, team = place.scratch, place.team
    trained, run_file = scratch / "model", scratch / "mlflow_run"
    flat = params.flatten(settings, architecture)
    if team.all_see(trained / model.CARD_FILE):
        log.info("seed %d was trained before the interruption", settings.seed)
        if team.leads:
            tracking.finish_killed(architecture, flat, place.where, run_file, trained)
        return trained
    with tracking.training_run(architecture, flat, place.where, run_file) as live:
        outcome = training.fit(
            job.network, job.store, job.plan, place.device, scratch, live.log_epoch, team
        )
        if team.leads:
            card = make_card(architecture, settings, job.store, job.start, job.plan, outcome)
            card = with_temperature(
                card, outcome.network, job.store, place.device.type, settings.train.batch_size
            )
            classifier = model.classifier(outcome.network, card, place.device.type)
            parts = job.store.part("train"), job.store.part("val")
            usual = reference_cells.make(classifier, *parts, settings.train.batch_size)
            keep_only_the_model(scratch, outcome, card, usual)
            live.finish(trained)
    return trained


def keep_only_the_model(
    scratch: Path, outcome: training.Outcome, card: model.Card, usual: Reference | None
) -> None:
    """Write the finished model beside the checkpoints, then take these away: they are large."""
    part = scratch / "model.part"
    make_empty(part)
    write_table(pd.DataFrame(outcome.history), part / "history.csv")
    model.save(part, outcome.network, card)
    reference.write(part / REFERENCE_FILE, usual, model.model_sha256(part))
    part.rename(scratch / "model")
    for path in scratch.iterdir():
        if path.is_file() and path.name != "mlflow_run":
            path.unlink()


def make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


@contextmanager
def shared_scratch(
    team: Team, name: str, belongs_to: dict[str, str], computed_on: str
) -> Iterator[Path]:
    """The folder of checkpoints, which the first process holds and finally removes.

    computed_on: what the first process computes on; another device does not go on from there,
    since it would end in bytes that neither gives alone.

    Raises:
        UserError: the processes do not start from the same.
    """
    team.agree_on(belongs_to)
    with ExitStack() as stack:
        held = None
        if team.leads:
            held = stack.enter_context(scratch_dir(name, *belongs_to.values(), computed_on))
        yield team.shared_folder(held)


def prepare(architecture: str, settings: params.Params, start_dir: Path) -> Job:
    """Open the pixels and build the network at its start."""
    store, start = open_store(Path("data/pixels")), read_start(start_dir)
    pretrained = start.start != "random"
    labels = store.part("train").labels
    plan = make_plan(settings.train, settings.seed, pretrained, labels)
    refuse_caching_few(plan, len(labels))
    network = build(architecture, settings, pretrained)
    load_into(network, start_dir)
    return Job(store, start, plan, network)


def identity(job: Job, flat: dict[str, Any]) -> dict[str, str]:
    """What decides the outcome: only a training that agrees in all of it may be continued."""
    return {
        "parameters": json.dumps(recorded(flat), sort_keys=True),
        "data/pixels": str(job.store.settings["sha256"]),
        "starting weights": job.start.sha256,
        "code": code_sha256(),
    }


def build(architecture: str, settings: params.Params, pretrained: bool) -> Network:
    """The network with its random parts drawn from the seed.

    A random start has no batch-norm statistics to keep, so there they are never frozen.
    """
    frozen = pretrained and settings.train.batch_norm != "train"
    training.seed_everything(settings.seed)
    return Network(architecture, settings.model.dropout, frozen_batch_norm=frozen)


if __name__ == "__main__":
    run(main, quiet=launching.was_launched(os.environ))
