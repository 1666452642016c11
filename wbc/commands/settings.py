"""`check` and `params`: params.yaml, and whether DVC can read dvc.lock."""

import argparse
import logging
from pathlib import Path
from typing import Any

from wbc import params
from wbc.commands.mending import mend

log = logging.getLogger(__name__)


def add(commands: Any) -> None:
    check = commands.add_parser("check", help="check params.yaml and dvc.lock before any work")
    check.set_defaults(run=_check)
    profile = commands.add_parser("params", help="merge a profile into params.yaml")
    profile.add_argument("profile", help="its name: profiles/NAME.yaml")
    profile.set_defaults(run=_params)


def _check(_options: argparse.Namespace) -> None:
    from wbc.tracking import reach, store

    reach.check_path(store.uri(store.root()))
    mend(Path())
    train = params.load(Path("params.yaml")).train
    if train.device == "gpu":  # better known now than after the data have been prepared
        from wbc import device

        device.pick(train.device, train.precision, train.threads)


def _params(options: argparse.Namespace) -> None:
    from wbc import profiles

    log.info("%s", profiles.apply(options.profile, Path()))
