"""A temporary repository with the working tree's files, the default parameters shrunk in size."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from tests import preforked

ROOT = Path(__file__).parent.parent.parent
OUTPUT = ".git/repro.txt"  # what the small repro printed
SMALL = {
    "architectures": ["squeezenet1_1"],
    "data.sources[0].num_cells": 300,
    "data.sources[0].image_size": 128,
    "split.max_group_share": 1.0,  # every smear of the sample is below that, and below 0.99
    "preprocess.input_size": 48,
    "model.weights": "none",
    "train.epochs": 2,
    "train.head_epochs": 1,
    "train.threads": 1,
}


@dataclass
class Repository:
    """A clone to run commands in; every command must end with status 0 unless asked otherwise."""

    path: Path
    environment: dict[str, str]

    def run(self, *command: str, status: int | None = 0) -> str:
        """stdout and stderr together; `python` and `dvc` are those of this environment.

        `status` is the one that is expected; None takes any.
        """
        python = shutil.which("python", path=self.environment["PATH"]) or sys.executable
        programs = {"python": [python], "dvc": [python, "-m", "dvc"]}
        words = [*programs.get(command[0], [command[0]]), *command[1:]]
        done = subprocess.run(
            words,
            cwd=self.path,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=1200,
        )
        assert status in (None, done.returncode), f"{' '.join(command)}:\n{done.stdout}"
        return done.stdout

    def real(self) -> "Repository":
        """The same, whose processes are the interpreter's own, not forks (tests/preforked)."""
        return Repository(self.path, self.environment | {"PATH": path_of(None)})

    def set(self, **values: Any) -> None:
        """Change params.yaml; `train__epochs=3` sets train.epochs."""
        set_params(self.path, {key.replace("__", "."): value for key, value in values.items()})

    def ran(self, output: str) -> list[str]:
        """The stages that a `dvc repro` really ran, in order."""
        return re.findall(r"Running stage '([^']+)'", output)

    def run_queue(self, jobs: int) -> None:
        """Let workers run what is queued, and wait until all of it has succeeded.

        Not `dvc exp run --run-all`: with two workers it now and then waits for ever for one that
        has finished (DVC 3.67).
        """
        self.run("dvc", "queue", "start", "-j", str(jobs))
        try:
            for _ in range(300):
                rows = self.run("dvc", "queue", "status").split("\n\n")[0].splitlines()[1:]
                if rows and not any("Queued" in row or "Running" in row for row in rows):
                    break
                time.sleep(2)
            assert all("Success" in row for row in rows), "\n".join(rows)
        finally:
            self.run("dvc", "queue", "stop", "--kill")

    def lock(self) -> bytes:
        return (self.path / "dvc.lock").read_bytes()

    def mlflow(self) -> Any:
        from mlflow.tracking import MlflowClient

        address = f"sqlite:///{self.path}/mlruns/mlflow.db"
        return MlflowClient(address, registry_uri=address)  # a default may be another test's

    def runs(self) -> list[Any]:
        client = self.mlflow()
        experiment = client.get_experiment_by_name("wbc")
        return list(client.search_runs([experiment.experiment_id]))

    def versions(self) -> list[Any]:
        found = self.mlflow().search_model_versions("name='wbc-classifier'")
        return sorted(found, key=lambda version: int(version.version))

    def metrics(self, architecture: str) -> dict[str, Any]:
        path = self.path / "reports" / architecture / "metrics.json"
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content


def set_params(folder: Path, values: dict[str, Any]) -> None:
    yaml = YAML()
    path = folder / "params.yaml"
    document = yaml.load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        *above, last = re.findall(r"[^.\[\]]+", key)
        place = document
        for name in above:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


def make_repository(folder: Path) -> Repository:
    """The files that git tracks or would track, committed anew; DVC's cache of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    repository = Repository(folder, environment_of(folder))
    repository.run("git", "init", "-q", "-b", "main")
    repository.run("git", "config", "user.name", "Test")
    repository.run("git", "config", "user.email", "test@example.org")
    return repository


def environment_of(folder: Path, forks: Path | None = None) -> dict[str, str]:
    """Nothing of the user's own DVC, MLflow and git; `forks`: another folder than preforked's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # stages start a second earlier with their bytecode
    return {
        **kept,
        "PATH": path_of(forks or preforked.bin_dir()),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_CONFIG_GLOBAL": str(folder / ".git" / "no-config"),
        "OMP_NUM_THREADS": "1",
    }


def path_of(forks: Path | None) -> str:
    places = [forks, Path(sys.executable).parent, os.environ["PATH"]]
    return ":".join(str(place) for place in places if place)


def commit(repository: Repository, message: str) -> None:
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-q", "--allow-empty", "-m", message)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Repository:
    """One small `dvc repro`, done; tests copy it (`repository`) before they change anything.

    Under xdist one worker runs it while the others wait, and each has a copy of its own: a repro
    takes two minutes of a core's time.
    """
    if worker_id == "master":
        return small_repro(tmp_path_factory.mktemp("finished"))
    shared = tmp_path_factory.getbasetemp().parent / "finished"
    with FileLock(f"{shared}.lock"):
        if not (shared / OUTPUT).is_file():
            shutil.rmtree(shared, ignore_errors=True)  # of a worker that failed
            shared.mkdir()
            small_repro(shared)
    own = tmp_path_factory.mktemp("finished") / "clone"
    shutil.copytree(shared, own, symlinks=True)
    repository = Repository(own, environment_of(own))
    repository.run("python", "-m", "wbc", "relocate")
    return repository


def small_repro(path: Path) -> Repository:
    repository = make_repository(path)
    set_params(path, SMALL)
    commit(repository, "small")
    said = repository.run("dvc", "repro")
    commit(repository, "first run")
    (path / OUTPUT).write_text(said, encoding="utf-8")
    return repository


@pytest.fixture
def repository(finished: Repository, tmp_path: Path) -> Repository:
    """A copy of the finished repository that a test may change; MLflow follows it."""
    path = tmp_path / "clone"
    shutil.copytree(finished.path, path, symlinks=True)
    shutil.rmtree(path / "mlruns")
    (path / "mlruns").mkdir()
    (path / "mlruns" / ".gitkeep").touch()
    return Repository(path, finished.environment)
