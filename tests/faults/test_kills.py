"""Ten of the moments of `make faults`: killed there and run again, a command ends as ever.

The same numbers each time; `python -m tests.faults` chooses them anew from the events of an
undisturbed run, and has hundreds.
"""

import shutil
from collections.abc import Iterator

import pytest

from tests.faults import judge, shim
from tests.faults.commands import COMMANDS, prepare, without_mlflow
from tests.faults.trials import Place, trial
from tests.pipeline.conftest import Repository

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.skipif(shim.compiler() is None, reason="there is no C compiler (cc) here"),
]
BY_NAME = {command.name: command for command in COMMANDS}
STARTS_EMPTY = ("list", "sync", "train")
MOMENTS = (
    ("list", 2000),  # while MLflow makes its tables
    ("download", 300),
    ("weights", 2),
    ("split", 9),
    ("preprocess", 100),
    ("quality", 4),
    ("sync", 6000),  # the tables are there, the run is being written
    ("promote", 40),
    ("predict", 8),
    ("compare", 4),
)


@pytest.fixture(scope="module")
def place(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("faults")
    library = shim.build(folder)
    shutil.copytree(finished.path, folder / "workspace", symlinks=True)
    (folder / "templates").mkdir()
    (folder / "forks").mkdir()
    place = Place(
        folder / "workspace", folder / "templates", library, shim.forking(folder / "forks", library)
    )
    repository = Repository(place.workspace, place.killer(BY_NAME["list"]).environment)
    repository.run("python", "-m", "wbc", "relocate")
    repository.set(promotion__floor=0.2)
    place.keep("finished")
    yield place


@pytest.mark.parametrize(("name", "number"), MOMENTS)
def test_a_command_that_was_killed_ends_as_ever(place: Place, name: str, number: int) -> None:
    command = BY_NAME[name]
    place.bring("finished")
    files = judge.files(place.workspace)
    prepare(command, place.workspace)
    if name in STARTS_EMPTY:
        without_mlflow(place.workspace)
    place.keep(name)
    found = trial(place, command, None, number)
    assert found.event != "after its end", f"{name} has fewer events than {number}"
    assert found.wrong == [], found.said
    made = judge.files(place.workspace)
    if name == "predict":
        assert len((place.workspace / "predictions.csv").read_text().splitlines()) > 300
        del made["predictions.csv"]
    assert judge.differences(files, made) == []
