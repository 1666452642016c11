"""wbc.tracking.schema: databases of an older and of a newer MLflow, by the revision in the file."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.mlflow_home import new_home
from wbc.errors import UserError
from wbc.tracking import database as tracking_database
from wbc.tracking import schema as tracking_schema
from wbc.tracking import store as tracking_store

SCRIPTS = Path(mlflow.__file__).parent / "store" / "db_migrations"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path / "home", monkeypatch) / "mlruns" / "mlflow.db"


def stamp(database: Path, schema: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (schema,))
        connection.commit()


def test_revisions_are_alembics(database: Path) -> None:
    alembic = ScriptDirectory(str(SCRIPTS))
    found = tracking_schema.installed()
    assert found.heads == set(alembic.get_heads())
    assert found.known == {script.revision for script in alembic.walk_revisions()}
    assert tracking_database.look(database, "wbc").schema in found.heads


def test_several_parents_and_annotations_are_understood(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('revision = "a1"\ndown_revision = None\n')
    (tmp_path / "b.py").write_text("revision: str = 'b2'\ndown_revision: str | None = 'a1'\n")
    (tmp_path / "c.py").write_text('revision = "c3"\ndown_revision = "a1"\n')
    (tmp_path / "d.py").write_text('revision = "d4"\ndown_revision = ("b2", "c3")\n')
    found = tracking_schema.revisions(tmp_path)
    assert found.known == {"a1", "b2", "c3", "d4"} and found.heads == {"d4"}


def test_an_older_database_is_copied_and_upgraded(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last step, really taken back, and made again by the installed MLflow."""
    config = Config(str(SCRIPTS / "alembic.ini"))
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{database}")
    command.downgrade(config, "-1")
    older = tracking_database.look(database, "wbc")
    with caplog.at_level("INFO", "wbc"):
        tracking_store.connect(database.parents[1])
        tracking_store.connect(database.parents[1])
    (copy,) = tracking_database.backups(database)
    assert copy.name.endswith(f"-before-MLflow-{mlflow.__version__}.db")
    assert tracking_database.look(copy, "wbc") == older
    assert tracking_database.look(database, "wbc").schema in tracking_schema.installed().heads
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.endswith(f"as it was, it is kept in {copy}")


def test_a_newer_database_is_refused_with_the_way_out(database: Path) -> None:
    repository = database.parents[1]
    backups = database.parent / tracking_database.BACKUPS
    stamp(database, "fedcba987654")
    with pytest.raises(UserError, match=r"install the MLflow that did so, or move it away and run"):
        tracking_store.connect(repository)

    backups.mkdir()
    usable = backups / "mlflow-20990101-000000-before-MLflow-99.1.0.db"
    shutil.copy(database, usable)
    with pytest.raises(UserError, match=r"install MLflow 99\.1\.0, or move it away"):
        tracking_store.connect(repository)  # the copy is as new itself
    stamp(usable, *tracking_schema.installed().heads)
    (backups / "mlflow-20990202-000000-before-clean.db").write_text("damaged")
    with pytest.raises(UserError, match=f"put the copy from before back with `cp {usable} "):
        tracking_store.connect(repository)
    shutil.copy(usable, database)
    tracking_store.connect(repository)


def test_another_programs_database_is_refused_and_left_alone(
    database: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "another"
    foreign = repository / "mlruns" / "mlflow.db"
    foreign.parent.mkdir(parents=True)
    with closing(sqlite3.connect(foreign)) as connection:
        for table in ("patients", "alembic_version", "a", "z"):
            connection.execute(f"CREATE TABLE {table} (version_num INTEGER)")
        connection.commit()
    before = foreign.read_bytes()
    expected = r"has other tables \(a, alembic_version, patients and 1 more\); move it away"
    with pytest.raises(UserError, match=expected):
        tracking_store.connect(repository)
    assert foreign.read_bytes() == before

    foreign.write_bytes(b"")
    assert tracking_database.look(foreign, "wbc") == tracking_database.Look("", "")
    with closing(sqlite3.connect(foreign)) as connection:  # empty, though not of 0 bytes
        connection.execute("CREATE TABLE a (number INTEGER PRIMARY KEY AUTOINCREMENT)")
        connection.execute("DROP TABLE a")
        connection.commit()
    assert tracking_database.look(foreign, "wbc") == tracking_database.Look("", "")


def test_an_upgrade_that_fails_says_how_to_go_back(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tracking_schema.Revisions(frozenset({"a1", "b2"}), frozenset({"b2"}))
    monkeypatch.setattr(tracking_schema, "installed", lambda: broken)
    stamp(database, "a1")  # which the real MLflow cannot upgrade from
    with pytest.raises(UserError, match=r"could not upgrade .* \(.+\); put the copy back"):
        tracking_store.connect(database.parents[1])
    assert len(tracking_database.backups(database)) == 1
