"""DVC for those who go back: recorded data out of the cache, a stage run anew, a checkout."""

import contextlib
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from wbc.errors import UserError, one_line, shown

_DIRECTORY: Final = ".dir"  # how DVC's hash of a folder ends
_HASH: Final = re.compile(r"[0-9a-f]{32}")
# Of the caller's: they would lead a rebuild to other code, another repository, another server.
_OUR_OWN: Final = (
    *("DVC_ROOT", "DVC_STAGE", "DVC_EXP_", "MLFLOW_", "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH"),
)
_UNSAVED: Final = "unsaved files without confirmation"


class LostError(Exception):
    """Recorded data are not in the cache; the message says which."""


class DamagedError(Exception):
    """Recorded data are in the cache, but with other bytes; the message says which."""


def cache_dir(directory: Path) -> Path:
    """The cache that the repository in `directory` uses, which may be shared or elsewhere.

    Raises:
        UserError: there is no DVC repository.
    """
    done = _dvc(directory, "cache", "dir")
    if done.returncode:
        raise UserError(
            f"{directory} is no DVC repository; run the command from the repository's root."
        )
    return (directory / done.stdout.strip().splitlines()[-1]).resolve()


def bring(cache: Path, md5: str, target: Path) -> None:
    """Copy what DVC's hash names out of a cache, every byte checked on the way.

    A copy, not a link: nothing that is done to it can reach the cache.

    Raises:
        LostError: a part is not there.
        DamagedError: a part has other bytes than its name says, or no list of files.
    """
    if not md5.endswith(_DIRECTORY):
        _bring_file(cache, md5, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for name, of_file in _listed(cache, md5).items():
        _bring_file(cache, of_file, target / name)


def changed_in(cache: Path, md5: str, folder: Path) -> list[str]:
    """Files of `folder` that are not as in the folder that `md5` names; [] where unknown."""
    try:
        listed = _listed(cache, md5)
    except (LostError, DamagedError):
        return []
    here = {
        path.relative_to(folder).as_posix(): _md5(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }
    return sorted(name for name in listed.keys() | here if listed.get(name) != here.get(name))


def prepare(directory: Path) -> None:
    """Give a copy of a repository an empty cache of its own and no recorded outputs.

    So neither the caller's cache, nor a shared one that is committed or set for the machine, nor
    dvc.lock can restore an output there; and DVC's notes on files (site_cache_dir), which it would
    keep for each path for ever, go with the copy.
    """
    from dvc.config import Config

    (directory / "dvc.lock").unlink(missing_ok=True)
    own = directory.resolve() / ".dvc"
    with Config(str(own)).edit("local") as settings:  # not by hand: a path may hold # or a comma
        settings["core"] = {"analytics": False, "site_cache_dir": str(own / "tmp" / "site")}
        settings["cache"] = {"dir": str(own / "cache")}


def run_stage(directory: Path, stage: str, log_path: Path, variables: Mapping[str, str]) -> bool:
    """Run one stage of a prepared copy, and only it; its output is added to the log.

    The run cache is off and nothing goes to the cache; dvc.lock gets the hashes. `python` is this
    interpreter. Whoever ends this process ends the stage.
    """
    words = ("repro", "--single-item", "--force", "--no-run-cache", "--no-commit", stage)
    with log_path.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "dvc", *words],
            cwd=directory,
            env={**_environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return child.wait() == 0
        except BaseException:
            _end(child)
            raise


def checkout(directory: Path) -> list[str]:
    """`dvc checkout` without force. Returns data that only the workspace has, relative to it.

    [] means done, as far as the cache has the data; with any, nothing was changed.

    Raises:
        UserError: DVC failed otherwise.
    """
    done = _dvc(directory, "checkout", "--allow-missing")
    if done.returncode and _UNSAVED in done.stderr:
        after = done.stderr.partition(_UNSAVED)[2].splitlines()[1:]
        return [os.path.relpath(line, directory) for line in after if line.strip()]
    if done.returncode:
        words = " ".join(done.stderr.replace("ERROR:", " ").split())[:300]
        raise UserError(f"`dvc checkout` failed ({words}); mend that and run the command again.")
    return []


def stage_names(directory: Path) -> set[str]:
    """Every stage that dvc.yaml defines with the parameters there, such as train@resnet18.

    Raises:
        UserError: dvc.yaml or params.yaml cannot be read.
    """
    done = _dvc(directory, "stage", "list", "--name-only")
    if done.returncode:
        words = " ".join(done.stderr.replace("ERROR:", " ").split())[:300]
        raise UserError(f"`dvc stage list` failed ({words}); mend that and run the command again.")
    return set(done.stdout.split())


def without_contradictions(lock: bytes) -> bytes:
    """dvc.lock without the stages that ran on other data than the rest of it names.

    A run's dvc.lock is from the moment of its publication, when the stages that followed were yet
    to run: what it says of them belongs to the model before.
    """
    yaml = YAML()
    document: Any = yaml.load(lock.decode("utf-8"))
    stages: dict[str, Any] = document["stages"]
    made = {
        out["path"]: out.get("md5") for stage in stages.values() for out in stage.get("outs", [])
    }
    kept = dict(stages)
    while stale := [name for name, stage in kept.items() if _contradicts(stage, made)]:
        for name in stale:
            made.update({out["path"]: None for out in kept.pop(name).get("outs", [])})
    if len(kept) == len(stages):
        return lock
    for name in set(stages) - set(kept):
        del stages[name]
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue().encode("utf-8")


def _contradicts(stage: Mapping[str, Any], made: Mapping[str, str | None]) -> bool:
    """Whether a dep is not what was made there, or a folder of outputs, which nobody can tell."""
    deps = {dep["path"]: dep.get("md5") for dep in stage.get("deps", [])}
    return any(
        made.get(path, md5) != md5 or any(out.startswith(f"{path}/") for out in made)
        for path, md5 in deps.items()
    )


def _bring_file(cache: Path, md5: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(_object(cache, md5))


def _listed(cache: Path, md5: str) -> dict[str, str]:
    """The files of a folder: {path below it: hash}.

    Whoever writes to a shared cache can give any content its right hash, so a path that would
    lead out of the folder, or to no file in it, is refused before one is written.
    """
    try:
        files = {entry["relpath"]: entry["md5"] for entry in json.loads(_object(cache, md5))}
        folders = {parent.as_posix() for name in files for parent in Path(name).parents}
        wrong = [n for n, of in files.items() if not _is_below(n) or not _HASH.fullmatch(of)]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DamagedError(
            f"{md5} in DVC's cache {cache} is damaged: it is no list of a folder's files"
            f" ({one_line(error, 80)})"
        ) from None
    if wrong := wrong + sorted(folders & files.keys()):
        raise DamagedError(
            f"{md5} in DVC's cache {cache} is damaged: it lists {shown(wrong[0], 120)}, which is no"
            " place in the folder, or no file with a hash"
        )
    return files


def _is_below(name: str) -> bool:
    path = Path(name)
    is_a_place = path.parts and "\0" not in name and not path.is_absolute() and not path.drive
    return bool(is_a_place) and ".." not in path.parts


def _object(cache: Path, md5: str) -> bytes:
    """An object's content, which must be what its name says."""
    path = cache / "files" / "md5" / md5[:2] / md5[2:]
    try:
        content = path.read_bytes()
    except OSError:
        raise LostError(f"{md5} is not in DVC's cache {cache}") from None
    if _md5(content) != md5.removesuffix(_DIRECTORY):
        raise DamagedError(
            f"{path} in DVC's cache is damaged: its content has another hash than its name"
        )
    return content


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child and all that it started: DVC leaves its stage alive when it is killed itself."""
    for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                child.poll()  # takes its status, or it would stay as a zombie
                os.killpg(child.pid, 0)
                time.sleep(0.1)


def _environment() -> dict[str, str]:
    """This environment without what belongs to the caller alone; `python` is this interpreter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OUR_OWN)}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"}


def _dvc(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=directory,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
