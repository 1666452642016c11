"""wbc.tracking.log: who may still be at what was begun; test_runs.py has what is written."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from wbc import processes
from wbc.tracking import log as tracking_log
from wbc.tracking.store import Store

OTHERS = "000000000000:1:1.00"  # a process in another container, or on another machine
DEAD = f"{processes.own_name().rpartition(':')[0]}:0"


@pytest.mark.parametrize(
    ("address", "gone"),
    [
        ("sqlite:////a/mlruns/mlflow.db", {OTHERS, DEAD, processes.own_name()}),
        ("https://mlflow.example.org", {DEAD}),
    ],
)
def test_beside_a_database_file_the_lock_tells_more_than_names(
    address: str, gone: set[str], tmp_path: Path
) -> None:
    store = Store(SimpleNamespace(tracking_uri=address), "1", tmp_path / ".lock", tmp_path)
    names = (OTHERS, DEAD, processes.own_name())
    assert {name for name in names if tracking_log.is_gone(store, name)} == gone
