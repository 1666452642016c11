"""Mistakes with MLflow's database and server, and with the repository's place."""

import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow.cli
from click.testing import CliRunner

from tests.mistakes.scene import MODEL, Scene, Seen
from tests.small_disk import make_read_only, small_disk


def at(address: str, *words: str) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        scene.monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        scene.monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
        return scene.wbc(*words)

    return make


def server_down(scene: Scene) -> Seen:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return at(f"http://127.0.0.1:{port}", "sync")(scene)


def read_only(*words: str) -> Callable[[Scene], Seen]:
    """The repository lies on a disk that nobody may write to."""

    def make(scene: Scene) -> Seen:
        scene.cells("cells")
        with small_disk(scene.home.parent / "disk", 30) as disk:
            move_to(scene, disk / "wbc")
            assert scene.wbc("relocate").status == 0
            make_read_only(disk)
            try:
                return scene.wbc(*words)
            finally:
                scene.monkeypatch.chdir(scene.home.parent.parent)

    return make


def move_to(scene: Scene, new: Path) -> None:
    """A copy of the repository, and this process in it."""
    shutil.copytree(scene.home, new)
    scene.home = new
    scene.monkeypatch.setenv("DVC_ROOT", str(new))
    scene.monkeypatch.chdir(new)


def damaged_database(scene: Scene) -> Seen:
    scene.write("mlruns/mlflow.db", b"SQLite format 3\0" + bytes(100) + b"overwritten" * 100)
    return scene.wbc("list")


def database_of_another_program(scene: Scene) -> Seen:
    path = scene.home / "mlruns" / "mlflow.db"
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE patients (name TEXT)")
    connection.commit()
    connection.close()
    return scene.wbc("list")


def moved(scene: Scene) -> Seen:
    """The repository is copied, and its MLflow still names the old place."""
    scene.wbc("list")
    move_to(scene, scene.home.parent / "copy")
    return scene.wbc("list")


def mlflow_ui(scene: Scene) -> Seen:
    """MLflow's own command makes an empty database where it stands; then somebody types `make ui`.

    The server itself, which takes half a minute to start, is left out. The rest is done in a fork:
    MLflow's command sets the registry of the process that it runs in for good.
    """
    scene.monkeypatch.setattr("mlflow.server._run_server", lambda **_: None)
    if (child := os.fork()) == 0:
        os._exit(CliRunner().invoke(mlflow.cli.cli, ["ui"]).exit_code)
    assert os.waitpid(child, 0)[1] == 0
    assert Path("mlflow.db").is_file()
    scene.monkeypatch.setattr("os.execv", lambda *_: sys.exit(0))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return scene.wbc("ui", "--port", str(port))


def with_umlauts(scene: Scene) -> Seen:
    move_to(scene, scene.home.parent / "Prüfung Größe 1")
    assert scene.wbc("relocate").status == 0
    scene.cells("Zellen aus Köln")
    return scene.wbc("predict", "Zellen aus Köln", "--model", MODEL)


MAKERS = {
    "MLFLOW_TRACKING_URI with a typo": at("htps://mlflow.example.org", "sync"),
    "MLFLOW_TRACKING_URI that names a folder": at("./mlruns", "sync"),
    "a server that is down": server_down,
    "a server whose name is misspelt": at("http://mlflow.invalid:5000", "sync"),
    "the UI while a server is named": at("http://127.0.0.1:9", "ui"),
    "relocate while a server is named": at("http://127.0.0.1:9", "relocate"),
    "a read-only repository": read_only("sync"),
    "predict in a read-only repository": read_only("predict", "cells", "--model", MODEL),
    "params in a read-only repository": read_only("params", "raabin"),
    "a damaged database": damaged_database,
    "a database of another program": database_of_another_program,
    "a repository that was copied or moved": moved,
    "`mlflow ui` without arguments": mlflow_ui,
    "a path with spaces and umlauts": with_umlauts,
}
