"""Kill a command, run it again, and see whether it ends where an undisturbed one ends."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import judge
from tests.faults.commands import Command, prepare
from tests.faults.shim import Killer
from tests.pipeline.conftest import environment_of


@dataclass(frozen=True)
class Undisturbed:
    """Where a command ends that nobody kills, and the changes that it makes on the way."""

    files: dict[str, str]
    meaning: dict[str, Any]
    events: list[str]


@dataclass(frozen=True)
class Trial:
    """One kill: at which event, and what was wrong after the second run; [] is as it should be."""

    command: str
    number: int
    event: str
    wrong: list[str]
    said: str


@dataclass(frozen=True)
class Place:
    """`workspace` is always the same folder, because MLflow writes absolute paths."""

    workspace: Path
    templates: Path
    library: Path
    forks: Path  # its `python` forks a process that has the library loaded, asleep

    def killer(self, command: Command) -> Killer:
        environment = environment_of(self.workspace, self.forks) | command.environment
        environment |= {
            "DVC_ROOT": str(self.workspace),
            "DVC_SITE_CACHE_DIR": str(self.workspace / ".dvc" / "tmp" / "site"),
            "LOKY_MAX_CPU_COUNT": "1",  # no workers: the same number is the same event each time
        }
        if command.words[0] == "dvc":
            del environment["DVC_ROOT"]
        return Killer(self.workspace, self.library, self.templates, environment)

    def keep(self, name: str) -> None:
        """The workspace as the template `name`."""
        shutil.rmtree(self.templates / name, ignore_errors=True)
        shutil.copytree(self.workspace, self.templates / name, symlinks=True)

    def bring(self, name: str) -> None:
        shutil.rmtree(self.workspace)
        shutil.copytree(self.templates / name, self.workspace, symlinks=True)


def undisturbed(place: Place, command: Command) -> Undisturbed:
    """Run the command in the workspace as it is, and keep where it starts as a template."""
    prepare(command, place.workspace)
    if command.mlruns_of:
        shutil.rmtree(place.workspace / "mlruns")
        mlruns = place.templates / f"after {command.mlruns_of}" / "mlruns"
        shutil.copytree(mlruns, place.workspace / "mlruns")
    place.keep(command.name)
    ended = place.killer(command).run(command.words)
    assert ended.status == 0, f"{command.name}: {ended.said}"
    wrong = judge.problems(place.workspace)
    if command.name != "train":  # whose run gets its version in evaluate
        assert not wrong, f"{command.name}, undisturbed: {wrong}"
    return Undisturbed(judge.files(place.workspace), judge.meaning(place.workspace), ended.events)


def trial(place: Place, command: Command, expected: Undisturbed | None, number: int) -> Trial:
    """Kill at event `number` and run again.

    expected: None: only what no MLflow database may look like is looked at.
    """
    place.bring(command.name)
    killer = place.killer(command)
    killed = killer.run(command.words, number)
    event = killed.events[number - 1] if len(killed.events) >= number else "after its end"
    wrong = [] if killed.status != 0 or event == "after its end" else ["it was not killed"]
    if command.words[0] == "dvc":  # as `make repro` begins
        killer.quietly(("python", "-m", "wbc", "check"))
    again = killer.quietly(command.words)
    done = command.said_when_done and command.said_when_done in again.said
    if again.status != 0 and not done:
        wrong.append(f"the second run ended with status {again.status}")
    if "Traceback" in again.said:
        wrong.append("the second run had a traceback")
    late = command.all_done and re.search(command.all_done, event)
    found = judge.problems(place.workspace)
    wrong += [line for line in found if not (late and judge.TWO_RUNS in line)]
    if expected:
        wrong += judge.differences(expected.files, judge.files(place.workspace))
        if not any("the database:" in line for line in wrong):
            wrong += judge.unlike(expected.meaning, judge.meaning(place.workspace))
    return Trial(command.name, number, event, wrong, again.said)
