"""Every command of README.md, taken from README.md, run in a small finished repository.

Each command of its blocks of shell stands either in STEPS, with what is put in the place of
its placeholders, or in MARKED, with the reason why it is not run here; a command inside of a
sentence there too, or in IN_SENTENCES with what runs it. The repository lies in a folder with a
space and umlauts. Commands of docs/ are not covered.
"""

import importlib.util
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline import test_quick_start
from tests.pipeline.conftest import Repository, commit, environment_of
from tests.readme_commands import README, commands, in_sentences
from wbc import sweep
from wbc.cells import CLASSES

pytestmark = pytest.mark.pipeline
NETWORK = "squeezenet1_1"
ACTIVE = ("TORCH=active", "PYTHON=python")  # the environment of the tests, nothing is installed
HAS_ONNX = all(map(importlib.util.find_spec, ("onnx", "onnxruntime")))

MARKED = {  # command -> why it is not run here
    "make test": "hours: it is what runs this test, and CI's last line (tests/test_makefile.py)",
    "conda env create -f environment.yml": "conda and the internet",
    "conda activate rocm": "conda",
    "pip install -r requirements.txt": (
        "conda and the internet: tests/test_requirements.py does it with stand-in wheels"
    ),
    "make sweep 'GRID=train.learning_rate=0.0005,0.001 train.unfreeze=upper,all' JOBS=2": (
        "four trainings: tests/pipeline/test_sweep.py runs smaller ones by the same command"
    ),
    "python -m wbc verify models:/wbc-classifier@challenger": (
        "a whole pipeline: tests/pipeline/test_verify.py runs it"
    ),
}
IN_SENTENCES = {  # command -> what runs it, or why nothing does
    "dvc repro": "tests/pipeline/conftest.py",
    "dvc import-url": "the step with a folder",
    "dvc pull": "tests/pipeline/test_team_server.py",
    "dvc exp run -S train.unfreeze=all": "tests/pipeline/test_repro.py, other settings",
    "make serve": "tests/wbc/registry/test_scoring_app.py, by python -m wbc serve",
    "make compare": "tests/test_makefile.py; its parts are make params and make repro",
    "mlflow server": "tests/pipeline/test_team_server.py",
    "python -m wbc adapt /path/to/pictures --unlabelled": "tests/wbc/test_adapt_unlabelled.py",
    "make repro TORCH=rocm": "a GPU and the internet: tests/test_makefile.py, stand-in wheels",
    "make repro TORCH=cpu": "the internet: tests/test_makefile.py, stand-in wheels",
    "make bench": "a quarter of an hour",
    "make faults": "hours: ten of its points are in tests/faults/test_kills.py",
    "make fuzz": "several minutes: tests/fuzz with fewer inputs",
    "make mutants": "hours",
}
ELSEWHERE = (  # run from README.md by tests/pipeline/test_quick_start.py, in this order
    "python -m wbc differential /path/to/slides",
    "python -m wbc review differential",
)


@dataclass(frozen=True)
class Step:
    """How a command is run: what comes before it, what stands for its placeholders, what it says.

    more: words that it gets besides those of README.
    """

    command: str
    says: str
    before: Callable[[Repository], object] = lambda _: None
    more: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (0,)


def pictures(folder: str, number: int = 6) -> Callable[[Repository], object]:
    """Some of the drawn cells, in a folder of the repository."""

    def make(repository: Repository) -> None:
        found = sorted((repository.path / "data" / "raw").rglob("*.jpg"))
        for index, path in enumerate(found[:: len(found) // number][:number]):
            (repository.path / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, repository.path / folder / f"{index}.jpg")

    return make


def laboratory(repository: Repository) -> None:
    """A folder a class, of pictures that the sample does not have; the profile is taken back."""
    repository.run("git", "checkout", "-q", "params.yaml")
    from tests.wbc.pictures import cell, encoded

    for row, label in enumerate(CLASSES):
        for index in range(6):
            path = repository.path / "our lab" / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = cell(120, 100, 40 + 7 * index, 34 + 6 * row)
            path.write_bytes(encoded(picture))


def with_laboratory(repository: Repository) -> None:
    """As README says after `dvc import-url`, and then as far as the adaption needs it."""
    sources = [{"kind": "sample", "name": "sample", "role": "auto", "num_cells": 300,
                "image_size": 128}]  # fmt: skip
    own = {"kind": "folder", "name": "our-lab", "role": "external", "path": "data/incoming/our-lab"}
    repository.set(data__sources=[*sources, own], split__near_duplicate_bits=0)
    repository.run("dvc", "repro", "preprocess")


def low_floor(repository: Repository) -> None:
    repository.set(promotion__floor=0.2)


def second_champion(repository: Repository) -> None:
    words = ("--version", "2", "--force", "--reason", "to have one to go back from")
    repository.run("python", "-m", "wbc", "promote", *words)


def back(repository: Repository) -> None:
    repository.run("git", "switch", "-q", "main")
    repository.run("dvc", "checkout")


def packed(repository: Repository) -> None:
    pictures("more/of/them")(repository)
    with zipfile.ZipFile(repository.path / "cells.zip", "w") as archive:
        for path in sorted((repository.path / "more" / "of" / "them").iterdir()):
            archive.write(path, f"cells/{path.name}")


def saved_experiment(repository: Repository) -> None:
    """In the place of the sweep's winner, an experiment of its name."""
    commit(repository, "before the sweep")
    repository.set(train__learning_rate=0.001, train__unfreeze="all")
    repository.run("dvc", "exp", "save", "-n", "learning_rate=0.001,unfreeze=all")
    repository.run("git", "checkout", "-q", "params.yaml")


def environment_folder(repository: Repository) -> None:
    repository.run("python3", "-m", "venv", "--without-pip", ".venv")


PLACES = {
    "/path/to/our-lab": "our lab",
    "/path/to/pictures": "pictures",
    "/path/to/fields": "pictures",
    "/path/to/this-month": "pictures",
    "models/googlenet": f"models/{NETWORK}",
}
WBC = "python -m wbc"
STEPS = (
    Step(f"{WBC} relocate", "now name"),
    Step("make repro", "Data and pipelines are up to date", more=ACTIVE),
    Step(f"{WBC} sync", "is there already"),
    Step(f"{WBC} clean", "Nothing to remove."),
    Step(f"{WBC} list", "challenger"),
    Step(f"{WBC} checkout 1", "The workspace is at version 1"),
    Step("dvc metrics show", "test_a.macro_f1", back),
    Step("dvc plots show", "index.html"),
    Step("dvc params diff", ""),
    Step("dvc exp show", "macro_f1"),
    Step("make params PROFILE=other-laboratories", "other-laboratories.yaml", more=ACTIVE),
    Step("make params PROFILE=raabin", "preprocess.input_size: 48 -> 224", back, more=ACTIVE),
    Step("source .venv/bin/activate", "", environment_folder),
    Step("dvc import-url /path/to/our-lab data/incoming/our-lab", "Importing", laboratory),
    Step("git add data/incoming/our-lab.dvc", ""),
    Step("dvc exp apply learning_rate=0.001,unfreeze=all", "applied", saved_experiment),
    Step(f"{WBC} promote", "is champion now", low_floor),
    Step(f"{WBC} adapt our-lab --per-class 20", "report.html says more", with_laboratory),
    Step(f"{WBC} rollback --reason why", "is champion again", second_champion),
    Step(f"{WBC} history", "why"),
    Step(f"{WBC} predict /path/to/pictures", "6 rows", pictures("pictures")),
    Step(
        f"{WBC} predict cells.zip 'more/**/*.jpg' --out p.parquet --model models/googlenet",
        "12 rows",
        packed,
    ),
    Step(f"{WBC} predict /path/to/fields --fields --annotate shown", "of 6 fields",
         more=("--out", "fields.csv")),
    Step(f"{WBC} export --format onnx", ".onnx"),
    Step(f"{WBC} predict cells --runtime onnx", "6 rows", pictures("cells"),
         more=("--out", "onnx.csv")),
    Step(f"{WBC} drift /path/to/this-month --name 2026-11", "2026-11", statuses=(0, 3, 4, 5)),
    Step("make ui", "http://127.0.0.1:"),
)  # fmt: skip


def test_every_command_of_readme_is_run_or_marked_and_none_is_made_up() -> None:
    steps = [step.command for step in STEPS]
    known = [*steps, *MARKED, *ELSEWHERE, *IN_SENTENCES]
    shown = {*commands(), *in_sentences()}
    assert shown - set(known) == set(), "README has commands that are neither"
    assert set(known) - shown == set(), "README has these no longer"
    assert not set(commands()) - {*steps, *MARKED, *ELSEWHERE}, "a block's own is not marked"
    assert len(steps) == len(set(steps)) and not set(steps) & {*MARKED, *IN_SENTENCES}
    assert all(reason for reason in [*MARKED.values(), *IN_SENTENCES.values()])


def test_what_is_run_elsewhere_is_read_from_readme_there() -> None:
    there = test_quick_start.commands(README, Path("/path/to/slides"))
    assert [shlex.join(words) for words in there] == [*ELSEWHERE, ELSEWHERE[0]]


def test_the_winner_that_readme_applies_is_one_of_its_sweep() -> None:
    grid = next(command for command in MARKED if command.startswith("make sweep "))
    points = sweep.parse(shlex.split(grid)[2].removeprefix("GRID="))
    applied = next(command for command in commands() if command.startswith("dvc exp apply "))
    assert shlex.split(applied)[-1] in [point.name for point in points]


@pytest.fixture(scope="module")
def walked(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return copied(finished.path, tmp_path_factory.mktemp("readme") / "Größe der Zellen")


def copied(source: Path, target: Path) -> Repository:
    shutil.copytree(source, target, symlinks=True)
    return Repository(target, environment_of(target))


@pytest.mark.parametrize("step", STEPS, ids=[step.command for step in STEPS])
def test_a_command_of_readme_does_what_it_says(step: Step, walked: Repository) -> None:
    if "onnx" in step.command and not HAS_ONNX:
        pytest.skip("requirements-onnx.txt is not installed")
    step.before(walked)
    words = [PLACES.get(word, word) for word in shlex.split(step.command)] + list(step.more)
    assert step.says in run(walked, words, step.statuses)


def run(repository: Repository, words: list[str], statuses: tuple[int, ...]) -> str:
    """What a command prints; some need their own way to be run."""
    match words:
        case ["source", path]:  # of a shell
            return repository.run("bash", "-c", f'. {path} && test "$VIRTUAL_ENV" = "$PWD/.venv"')
        case ["make", "ui"]:
            return answered(repository)
    said = repository.run(*words, status=None if len(statuses) > 1 else statuses[0])
    assert "Traceback" not in said
    return said


def answered(repository: Repository) -> str:
    """`make ui` on a port that is free, until MLflow answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = str(free.getsockname()[1])
    real = repository.real()
    recipe = real.run("make", "-n", "ui", *ACTIVE).strip()
    given = real.environment | {"BIN": str(Path(sys.executable).parent)}  # by make, to its recipes
    with subprocess.Popen(
        ["sh", "-c", f"{recipe} --port {port}"], cwd=real.path, env=given, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            for _ in range(600):
                assert process.poll() is None
                time.sleep(0.2)
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as reply:
                        assert reply.read() == b"OK"
                        break
                except OSError:
                    continue
        finally:
            os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout is not None
        return process.stdout.read()
