"""wbc.tracking.drift: a run a folder, apart from the trainings."""

import time
from pathlib import Path

import pytest

from tests.mlflow_home import new_home
from wbc.tracking import drift as tracking_drift
from wbc.tracking import relocate as tracking_relocate
from wbc.tracking import store as tracking_store


def test_every_month_is_a_run_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = new_home(tmp_path / "home", monkeypatch)
    out = home / "drift"
    out.mkdir()
    (out / "drift.html").write_text("page")
    for month, share in (("2026-10", 0.01), ("2026-11", 0.6)):
        tags = {"drift.folder": month, "drift.verdict": "shifted", "drift.reasons": ""}
        tracking_drift.publish(home, out, tags, {"found/out_of_domain": share})
    store = tracking_store.connect(home)
    assert store.client.search_runs([store.experiment_id]) == []
    experiment = store.client.get_experiment_by_name("wbc-drift")
    runs = store.client.search_runs([experiment.experiment_id], "tags.`drift.folder` = '2026-11'")
    (run,) = runs
    assert run.data.metrics == {"found/out_of_domain": 0.6} and run.info.status == "FINISHED"
    assert run.info.run_name == "2026-11: shifted" and "drift.reasons" not in run.data.tags
    assert len(store.client.search_runs([experiment.experiment_id])) == 2
    page = home / "mlruns" / "artifacts" / run.info.run_id / "artifacts" / "drift" / "drift.html"
    assert page.read_text() == "page"

    moved = tmp_path / "moved"
    home.rename(moved)
    monkeypatch.setenv("DVC_ROOT", str(moved))
    monkeypatch.chdir(moved)
    tracking_relocate.relocate(moved)
    found = tracking_store.connect(moved).client.get_run(run.info.run_id).info.artifact_uri
    assert found.startswith((moved / "mlruns").as_uri())


def test_a_check_that_was_killed_while_it_was_written_goes_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = new_home(tmp_path / "home", monkeypatch)
    (home / "drift").mkdir()
    tags = {"drift.folder": "2026-11", "drift.verdict": "shifted"}
    tracking_drift.publish(home, home / "drift", tags, {})
    store = tracking_store.connect(home)
    experiment = store.client.get_experiment_by_name("wbc-drift").experiment_id
    two_days_ago = int(1000 * (time.time() - 2 * tracking_drift.DAY_SECONDS))
    killed = store.client.create_run(experiment, start_time=two_days_ago)
    store.client.create_run(experiment)  # being written now
    going = tracking_drift.dispensable(store, None)
    assert [run.info.run_id for run in going] == [killed.info.run_id]
