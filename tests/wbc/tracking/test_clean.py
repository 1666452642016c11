"""wbc.tracking.clean: what goes, what stays, and that it is asked first; MLflow's side.

tests/pipeline/test_upkeep.py has DVC's, on a real pipeline.
"""

import contextlib
import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_home import ARCHITECTURE, new_home, write_model
from wbc.errors import UserError
from wbc.registry import champion, trail
from wbc.registry.trail import Event
from wbc.tracking import clean as tracking_clean
from wbc.tracking import drift as tracking_drift
from wbc.tracking import needs as tracking_needs
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store
from wbc.tracking.plan import HALF_COPIED


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four versions: 1 is champion, 2 nobody's, 3 challenger, 4 the workspace's."""
    home = new_home(tmp_path / "home", monkeypatch)
    for seed in range(1, 5):
        tracking.publish(ARCHITECTURE, *write_model(home, seed=seed))
    client = tracking_store.connect().client
    client.set_registered_model_alias("wbc-classifier", "champion", "1")
    client.set_registered_model_alias("wbc-classifier", "challenger", "3")
    return home


def clean(home: Path, keep_last: int | None = None, **options: bool) -> None:
    chosen = {"dry_run": False, "sure": True, **options}
    tracking_clean.run(home, keep_last, False, **chosen)


def versions() -> list[int]:
    return sorted(int(v.version) for v in tracking_needs.all_versions(tracking_store.connect()))


def folders(home: Path) -> set[str]:
    return {path.name for path in (home / "mlruns" / "artifacts").glob("**/m-*")}


def test_nothing_goes_by_default(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = set((home / "mlruns").rglob("*"))
    with caplog.at_level(logging.INFO, "wbc"):
        clean(home)
    assert caplog.messages == ["Nothing to remove."]
    assert set((home / "mlruns").rglob("*")) == before


def test_versions_without_an_alias_go_when_asked(home: Path) -> None:
    import mlflow.pyfunc

    store = tracking_store.connect()
    run_id = store.client.get_model_version("wbc-classifier", "2").run_id
    clean(home, keep_last=0, dry_run=True)
    assert versions() == [1, 2, 3, 4]
    clean(home, keep_last=0)
    assert versions() == [1, 3, 4] and len(folders(home)) == 3
    assert store.client.get_run(run_id).data.metrics["val/macro_f1"] == 0.7
    assert mlflow.pyfunc.load_model("models:/wbc-classifier@champion")
    (copy,) = (home / "mlruns" / "backups").iterdir()
    assert copy.name.endswith("-before-clean.db")
    assert "is there already" in tracking.sync(home)[0]


def test_the_newest_stay(home: Path) -> None:
    clean(home, keep_last=3)
    assert versions() == [1, 2, 3, 4]
    write_model(home, seed=9)  # version 4 is no longer the workspace's
    clean(home, keep_last=1)
    assert versions() == [1, 3, 4]


def _runs(home: Path) -> dict[str, str]:
    """{name: id} of runs that could go, each with a file."""
    store, made = tracking_store.connect(), {}
    for name in ("failed", "theirs", "continued", "deleted", "named"):
        run = store.client.create_run(store.experiment_id, run_name=name)
        store.client.log_text(run.info.run_id, "x" * 100, "file.txt")
        if name != "theirs":
            store.client.set_tag(run.info.run_id, "recorded", "live")
        store.client.set_terminated(run.info.run_id, "FAILED")
        made[name] = run.info.run_id
    store.client.delete_run(made["deleted"])
    folder = home / "scratch" / "train-x-1"
    folder.mkdir(parents=True)
    (folder / "run").write_text(made["continued"])
    return made


def test_runs_that_nothing_needs_go(home: Path) -> None:
    made, store = _runs(home), tracking_store.connect()
    champions = store.client.get_model_version("wbc-classifier", "1").run_id
    store.client.delete_run(champions)  # MLflow lets it; its version still needs it
    clean(home)
    left = store.client.search_runs([store.experiment_id], run_view_type=3)
    names = {run.info.run_name for run in left}
    assert {"theirs", "continued", "named"} & names == {"theirs", "continued"}
    assert not {"failed", "deleted"} & names
    assert champions in {run.info.run_id for run in left}
    assert not (home / "mlruns" / "artifacts" / made["failed"]).exists()
    assert (home / "mlruns" / "artifacts" / made["theirs"]).exists()


def test_runs_that_were_killed_unseen_go_after_a_silent_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose processes are another machine's to the next one."""
    home = new_home(tmp_path / "home", monkeypatch)
    client, experiment = tracking_store.connect().client, tracking_store.connect().experiment_id
    old = int(1000 * (time.time() - 8 * 24 * 3600))
    for name, start, epoch in (("silent", old, old), ("learning", old, 0), ("new", None, old)):
        run = client.create_run(experiment, start, {"recorded": "live"}, name).info.run_id
        client.log_metric(run, "epoch/train/loss", 1.0, epoch or None, step=1)
    clean(home)
    running = client.search_runs([experiment], "attributes.status = 'RUNNING'")
    assert {run.info.run_name for run in running} == {"learning", "new"}


def test_the_model_of_a_deleted_version_goes(home: Path) -> None:
    store = tracking_store.connect()
    store.client.delete_model_version("wbc-classifier", "2")
    assert len(folders(home)) == 4
    clean(home)
    assert len(folders(home)) == 3 and versions() == [1, 3, 4]


def test_the_way_of_rollbacks_stays(home: Path) -> None:
    store = tracking_store.connect()
    for number in ("2", "1"):
        trail.append(store, Event("force", number))
    clean(home, keep_last=0)
    assert versions() == [1, 2, 3, 4]
    trail.append(store, Event("rollback", "2"))
    trail.append(store, Event("rollback", "1"))  # by another machine: 2 is left behind
    clean(home, keep_last=0)
    assert versions() == [1, 3, 4]


def test_a_deleted_champion_is_named_and_its_files_stay(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tracking_store.connect()
    version = store.client.get_model_version("wbc-classifier", "1")
    champion.write_record(store, version)
    for number in ("1", "2"):
        store.client.delete_model_version("wbc-classifier", number)
    store.client.delete_run(version.run_id)
    with caplog.at_level(logging.INFO, "wbc"):
        clean(home)
    assert caplog.messages[0].startswith("The champion, version 1 (squeezenet1_1-")
    assert " was deleted; " in caplog.messages[0]
    assert version.source.removeprefix("models:/") in folders(home) and len(folders(home)) == 3
    assert store.client.get_run(version.run_id)


def _check(home: Path, month: str, model: str, age_in_days: float, status: str = "FINISHED") -> str:
    """A run of `drift` with a page; its id."""
    out = home / "drift"
    out.mkdir(exist_ok=True)
    (out / "drift.html").write_text("page")
    tags = {"drift.folder": month, "drift.verdict": "shifted", "drift.model_sha256": model}
    tracking_drift.publish(home, out, tags, {})
    store = tracking_store.connect()
    experiment = store.client.get_experiment_by_name("wbc-drift").experiment_id
    (run,) = store.client.search_runs([experiment], f"tags.`drift.folder` = '{month}'")
    store.client.set_terminated(run.info.run_id, status)
    database = sqlite3.connect(home / "mlruns" / "mlflow.db")
    with contextlib.closing(database), database:
        start = int(1000 * (time.time() - 24 * 3600 * age_in_days))
        change = "UPDATE runs SET start_time = ? WHERE run_uuid = ?"
        database.execute(change, (start, run.info.run_id))
    return str(run.info.run_id)


def test_old_checks_of_drift_go_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = new_home(tmp_path / "home", monkeypatch)
    for number, age in enumerate((300, 400, 500, 600)):
        _check(home, f"a{number}", "a", age)
    _check(home, "b", "b", 700)
    _check(home, "failed", "a", 0, "FAILED")
    tracking_store.connect().client.delete_run(_check(home, "deleted", "a", 0))
    clean(home)
    assert _months(home) == {"a0", "a1", "a2", "a3", "b"}
    clean(home, keep_last=1, dry_run=True)
    assert len(_months(home)) == 5
    clean(home, keep_last=2)
    assert _months(home) == {"a0", "a1", "b"}
    clean(home, keep_last=0)
    assert _months(home) == {"a0"}


def _months(home: Path) -> set[str]:
    """Of the checks that are left; each has its page."""
    store = tracking_store.connect()
    experiment = store.client.get_experiment_by_name("wbc-drift").experiment_id
    runs = store.client.search_runs([experiment], run_view_type=3)
    pages = {page.parents[2].name for page in (home / "mlruns").rglob("drift.html")}
    assert pages == {run.info.run_id for run in runs}
    return {run.data.tags["drift.folder"] for run in runs}


def test_scratch_goes_after_a_week(home: Path) -> None:
    for name in ("train-a-1", "train-b-2", "train-c-3.done"):
        (home / "scratch" / name).mkdir(parents=True)
    old = time.time() - 8 * 24 * 3600
    os.utime(home / "scratch" / "train-a-1", (old, old))
    clean(home)
    assert [path.name for path in (home / "scratch").iterdir()] == ["train-b-2"]


def test_half_copies_go_after_a_week(home: Path) -> None:
    folder = next((home / "mlruns" / "artifacts").glob("*/artifacts"))
    new, old = (folder / f"{HALF_COPIED}{name}" for name in ("new", "old"))
    for path in (new, old):
        path.write_bytes(b"half")
    a_week_ago = time.time() - 8 * 24 * 3600
    os.utime(old, (a_week_ago, a_week_ago))
    clean(home)
    assert new.is_file() and not old.exists()


def test_a_champion_that_does_not_say_what_it_needs_stops_everything(home: Path) -> None:
    store = tracking_store.connect()
    run_id = store.client.get_model_version("wbc-classifier", "1").run_id
    place = home / "mlruns" / "artifacts" / run_id / "artifacts" / "lineage" / "dvc.lock"
    hashes = tracking_needs.hashes(store, home, tracking_needs.all_versions(store))
    assert "1" * 32 + ".dir" in hashes
    place.unlink()
    with pytest.raises(UserError, match=r"Version 1 \(champion\) should say what it was made of"):
        tracking_needs.hashes(store, home, tracking_needs.all_versions(store))


def test_it_asks_and_takes_no_for_an_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _runs(home)
    before = len(_all())
    with pytest.raises(UserError, match="clean --yes"):
        clean(home, sure=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer in ("", "n"):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        with pytest.raises(UserError, match="Nothing was removed"):
            clean(home, sure=False)
    assert len(_all()) == before
    monkeypatch.setattr("builtins.input", lambda _: "y")
    clean(home, sure=False)
    assert len(_all()) < before


def _all() -> list[Any]:
    store = tracking_store.connect()
    return list(store.client.search_runs([store.experiment_id], run_view_type=3))


def test_a_server_that_is_away_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="does not answer: connection refused"):
        clean(home)
