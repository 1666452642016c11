"""wbc.tracking.open: notes of runs whose server went away, also damaged ones."""

from pathlib import Path

import pytest

from tests.mlflow_home import new_home
from wbc.tracking import open as tracking_open
from wbc.tracking import store as tracking_store

SHA256 = "ab" * 32


def test_a_damaged_note_names_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one would ask MLflow for the run "", which it calls an error of its own kind."""
    home = new_home(tmp_path / "home", monkeypatch)
    store = tracking_store.connect()
    run_id = store.client.create_run(store.experiment_id).info.run_id
    tracking_open.remember(store, SHA256, run_id)
    found = tracking_open.find(store, SHA256)
    assert found is not None and found.info.run_id == run_id

    folder = home / "mlruns" / "open_runs"
    for content in (b"", b" \n", b"\xff", b"no/id", b"0" * 32):
        (folder / SHA256).write_bytes(content)
        assert tracking_open.find(store, SHA256) is None, content
    (folder / f"{SHA256}.part").write_bytes(b"")  # of a process that was killed
    tracking_open.forget(store, SHA256)
    assert not list(folder.iterdir())
    assert tracking_open.find(store, SHA256) is None
