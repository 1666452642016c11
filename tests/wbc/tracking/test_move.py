"""wbc.tracking.move and wbc.tracking.relocate: a repository at another place."""

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_home import ARCHITECTURE, new_home, write_model
from wbc.errors import UserError
from wbc.tracking import relocate as tracking_relocate
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store
from wbc.tracking.move import MovedError, path_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one published model, under a name that a URI has to escape."""
    home = new_home(tmp_path / "a räther odd name", monkeypatch)
    tracking.publish(ARCHITECTURE, *write_model(home))
    return home


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.chdir(folder)
    return folder


def paths(folder: Path) -> dict[str, list[str]]:
    found = {}
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as connection:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"),
        ):
            ours = "WHERE name != 'Default'" if table == "experiments" else ""  # the template's own
            rows = connection.execute(f"SELECT {column} FROM {table} {ours} ORDER BY 1").fetchall()
            found[table] = [row[0] for row in rows]
    return found


def model_file(folder: Path) -> Any:
    """The version's card, fetched through the registry."""
    import mlflow.artifacts

    tracking_store.connect(folder)
    return Path(mlflow.artifacts.download_artifacts("models:/wbc-classifier/1/MLmodel"))


def test_a_move_is_noticed_and_mended(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = paths(home)
    new = enter(home.rename(tmp_path / "elsewhere (2)"), monkeypatch)
    with pytest.raises(MovedError, match=r"type `python -m wbc relocate`"):
        tracking_store.connect(new)
    write_model(new, seed=2)
    with caplog.at_level(logging.WARNING, "wbc"):
        tracking.publish(ARCHITECTURE, new / "models" / ARCHITECTURE, new / "reports")
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "`python -m wbc relocate`" in warning and "`python -m wbc sync`" in warning
    assert not home.exists() and paths(new) == before

    kept, changed = tracking_relocate.relocate(new)
    assert "backups/mlflow-" in kept and "-before-relocate.db" in kept
    assert changed.startswith("4 paths named ")
    for table, locations in paths(new).items():
        assert all(str(new) in str(path_of(location)) for location in locations), table
    assert model_file(new).read_text()
    with closing(sqlite3.connect(next((new / "mlruns" / "backups").iterdir()))) as copy:
        assert copy.execute("SELECT artifact_uri FROM runs").fetchone()[0] == before["runs"][0]

    (nothing,) = tracking_relocate.relocate(new)
    assert (
        nothing.startswith("Nothing to mend") and len(list((new / "mlruns/backups").iterdir())) == 1
    )
    third = enter(new.rename(tmp_path / "third"), monkeypatch)
    tracking_relocate.relocate(third)
    assert model_file(third).is_file() and not home.exists() and not new.exists()


def test_a_copy_writes_nothing_into_the_original(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    original = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    enter(copy, monkeypatch)
    tracking.publish(ARCHITECTURE, *write_model(copy, seed=2))
    tracking_relocate.relocate(copy)
    tracking.publish(ARCHITECTURE, *write_model(copy, seed=2))
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == original
    store = tracking_store.connect(copy)
    assert len(store.client.search_runs([store.experiment_id])) == 2
    tracking_store.connect(enter(home, monkeypatch))


def test_what_a_run_wrote_into_the_old_folder_comes_along(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an MLflow that knows nothing of this does after a move."""
    from mlflow import MlflowClient

    new = enter(home.rename(tmp_path / "new"), monkeypatch)
    client = MlflowClient(*[f"sqlite:///{new}/mlruns/mlflow.db"] * 2)
    run = client.create_run(client.get_experiment_by_name("wbc").experiment_id)
    client.log_text(run.info.run_id, "late", "late.txt")
    assert home.exists()
    said = tracking_relocate.relocate(new)
    assert said[-1].startswith("1 folders of runs or models had been written to")
    place = path_of(client.get_run(run.info.run_id).info.artifact_uri)
    assert place and place.is_relative_to(new) and (place / "late.txt").read_text() == "late"


def test_a_copy_that_was_cut_off_is_made_whole(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository that was copied without its artifacts, and `relocate` killed in their middle."""
    copy, real = tmp_path / "copy", shutil.copyfile
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("artifacts"))
    enter(copy, monkeypatch)

    def cut_off(source: str, target: str, **options: Any) -> Any:
        if "MLmodel" in str(target):
            Path(target).write_text("ha")
            raise KeyboardInterrupt
        return real(source, target, **options)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", cut_off)
        with pytest.raises(KeyboardInterrupt):
            tracking_relocate.relocate(copy)
    assert len(list(copy.rglob("MLmodel"))) == 1  # half of it, and under another name
    tracking_relocate.relocate(copy)
    assert _contents(copy / "mlruns/artifacts") == _contents(home / "mlruns/artifacts")


def _contents(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_database_without_its_files_is_not_bent(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = enter(home.rename(tmp_path / "new"), monkeypatch)
    shutil.move(new / "mlruns" / "artifacts", tmp_path / "forgotten")
    before = paths(new)
    with pytest.raises(UserError, match="files of the 1 models"):
        tracking_relocate.relocate(new)
    assert paths(new) == before and not (new / "mlruns" / "backups").exists()


def test_other_paths_are_left_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link at the old place works on; files that a person put elsewhere stay there."""
    new = enter(home.rename(tmp_path / "new"), monkeypatch)
    home.symlink_to(new)
    tracking_store.connect(new)
    assert tracking_relocate.relocate(new)[0].startswith("Nothing to mend")
    home.unlink()
    with closing(sqlite3.connect(new / "mlruns" / "mlflow.db")) as connection:
        for name, place in (("theirs", "file:///big/disk"), ("remote", "s3://bucket/x")):
            connection.execute(
                "INSERT INTO experiments (name, artifact_location, lifecycle_stage, workspace)"
                " VALUES (?, ?, 'active', 'default')",
                (name, place),
            )
        connection.commit()
    tracking_relocate.relocate(new)
    assert {"file:///big/disk", "s3://bucket/x"} < set(paths(new)["experiments"])

    chosen = tmp_path / "big disk" / "artifacts"
    shutil.move(new / "mlruns" / "artifacts", chosen)
    with closing(sqlite3.connect(new / "mlruns" / "mlflow.db")) as connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE name = 'wbc'", (chosen.as_uri(),)
        )
        connection.commit()
    tracking_store.connect(new)


def test_relocate_refuses_in_one_sentence(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = enter(home.rename(tmp_path / "new"), monkeypatch)
    database = new / "mlruns" / "mlflow.db"
    before = paths(new)
    monkeypatch.setattr("wbc.tracking.move._SECONDS", 0.1)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match="in use by another process"):
            tracking_relocate.relocate(new)
    with monkeypatch.context() as patched:  # root may write whatever its mode
        patched.setattr(os, "access", lambda path, mode: mode != os.W_OK or path != database)
        for command in (tracking_relocate.relocate, tracking_store.connect):
            with pytest.raises(UserError, match=r"mlflow\.db is read-only"):
                command(new)
    with monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(UserError, match="a server that keeps its own files"):
            tracking_relocate.relocate(new)
    assert paths(new) == before
    database.write_text("no database" * 100)
    for command in (tracking_relocate.relocate, tracking_store.connect):
        with pytest.raises(UserError, match="cannot be used as MLflow's database"):
            command(new)
    assert tracking_relocate.relocate(tmp_path)[0].startswith("Nothing to mend: there is no")
