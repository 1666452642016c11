"""`make faults`: kill every stage and command at counted changes of the disk, and run it again.

    python -m tests.faults [--points 242] [--only NAME …] [--at REGEX] [--folder FOLDER]

Every event (events.c) of an undisturbed run has a number, and SIGKILL comes at chosen numbers, so a
number means the same moment each time. The second run must end in the same bytes, and in the same
MLflow. Exit status 1 if any does not; its workspace then lies in FOLDER/broken.
"""

import argparse
import hashlib
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults import shim
from tests.faults.commands import COMMANDS, Command
from tests.faults.trials import Place, Trial, trial, undisturbed
from tests.pipeline.conftest import ROOT, Repository, commit, small_repro

FINISHED = "finished"


def main() -> None:
    total = sum(command.share for command in COMMANDS)
    parser = argparse.ArgumentParser(prog="tests.faults")
    parser.add_argument("--points", type=int, default=total, help="in all; default %(default)s")
    parser.add_argument("--only", nargs="+", choices=[c.name for c in COMMANDS], default=[])
    parser.add_argument("--at", metavar="REGEX", help="at every event whose line matches instead")
    parser.add_argument(
        "--folder", type=Path, help="to work in, kept; used again for the same code"
    )
    options = parser.parse_args()
    if not shim.compiler():
        sys.exit("error: the faults need a C compiler (cc); install gcc or clang")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        place = prepare(folder)
        tried = broken = 0
        names = options.only or [command.name for command in COMMANDS]
        for command in needed(names):
            wanted = command.name in names
            points = round(command.share * options.points / total) if wanted else 0
            for found in examine(place, command, points, options.at if wanted else None):
                tried, broken = tried + 1, broken + bool(found.wrong)
                tell(found)
                if found.wrong:
                    target = folder / "broken" / f"{command.name}-{found.number}"
                    shutil.copytree(place.workspace, target, symlinks=True, dirs_exist_ok=True)
        print(f"{tried} kill points tried, {tried - broken} ended as an undisturbed run")
    sys.exit(bool(broken))


def needed(names: list[str]) -> list[Command]:
    """The commands with these names, and those that they follow on."""
    found: list[Command] = []
    wanted = False
    for command in reversed(COMMANDS):
        wanted = wanted or command.name in names
        if wanted:
            found.append(command)
        wanted = wanted and command.follows
    return found[::-1]


def prepare(folder: Path) -> Place:
    """A finished small pipeline in FOLDER/workspace, and a `python` that forks."""
    made_of, code = folder / "templates" / "made_of", _code()
    if not made_of.is_file() or made_of.read_text(encoding="utf-8") != code:
        shutil.rmtree(
            folder / "templates", ignore_errors=True
        )  # of other code: they would be tried
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    library = shim.build(folder)
    place = Place(folder / "workspace", folder / "templates", library,
                  shim.forking(Path(tempfile.mkdtemp()), library))  # fmt: skip
    if not (place.templates / FINISHED).is_dir():
        shutil.rmtree(place.workspace, ignore_errors=True)
        place.workspace.mkdir(parents=True)
        finish(small_repro(place.workspace))
        place.keep(FINISHED)
        made_of.write_text(code, encoding="utf-8")
    place.workspace.mkdir(exist_ok=True)
    place.bring(FINISHED)
    return place


def _code() -> str:
    """Of what the workspace is a copy of."""
    paths = [*ROOT.glob("wbc/**/*.py"), *ROOT.glob("stages/*.py"), *ROOT.glob("*.yaml")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()


def finish(repository: Repository) -> None:
    """The first champion's floor is lowered to what these few cells can show."""
    repository.set(promotion__floor=0.2)
    commit(repository, "floor")


def examine(place: Place, command: Command, points: int, at: str | None) -> Iterator[Trial]:
    """The command undisturbed, then killed; the workspace ends where the undisturbed one did."""
    if not command.follows:
        place.bring(FINISHED)
    elif not points and (place.templates / f"after {command.name}").is_dir():
        place.bring(f"after {command.name}")
        return
    begin = time.monotonic()
    expected = undisturbed(place, command)
    place.keep(f"after {command.name}")
    if points:
        seconds = time.monotonic() - begin
        print(f"{command.name}: {len(expected.events)} events in {seconds:.0f} s", flush=True)
        numbers = shim.choose(expected.events, points)
        if at:
            numbers = [n for n, line in enumerate(expected.events, 1) if re.search(at, line)]
        for number in numbers:
            yield trial(place, command, expected, number)
    place.bring(f"after {command.name}")


def tell(found: Trial) -> None:
    print(f"{found.number:7d}  {found.event}: {'NO' if found.wrong else 'yes'}", flush=True)
    for line in found.wrong[:12]:
        print(f"           {line}")
    if found.wrong:
        print("           " + "\n           ".join(found.said.splitlines()[-12:]), flush=True)


if __name__ == "__main__":
    main()
