"""DVC's cache: which outputs still fit the workspace, and which objects nobody needs.

An object is needed while its hash is written anywhere that can be brought back: in any file of any
commit that git knows a way to, in the workspace, in an experiment that runs, in what a registered
version records. Texts are searched for anything that looks like a hash, which keeps too much
rather than too little.
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from wbc.errors import UserError, one_line
from wbc.lineage import dvc as lineage_dvc
from wbc.lineage import git as lineage_git
from wbc.lineage import state as lineage

_HASH: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")
_MAX_BYTES: Final = 20_000_000  # of a file in git, larger ones are no dvc.lock; and of a batch
_MODEL_STAGES: Final = ("download", "split", "preprocess")
_ARCHITECTURE_STAGES: Final = ("weights", "train", "evaluate")


@dataclass(frozen=True)
class Cache:
    """DVC's cache of this repository."""

    folder: Path  # holds files/md5 and runs
    objects: dict[str, int]  # hash -> bytes
    run_entries: dict[Path, frozenset[str]] = field(default_factory=dict)  # file -> hashes in it

    def path(self, name: str) -> Path:
        return self.folder / "files" / "md5" / name[:2] / name[2:]

    def holds(self, name: str) -> bool:
        """Whether the object is there, of a folder also every file in it."""
        path = self.path(name)
        files = hashes_in(path.read_bytes()) if name.endswith(".dir") and path.is_file() else ()
        return path.is_file() and all(self.path(each).is_file() for each in files)


def changed_stages(directory: Path) -> set[str] | None:
    """Names of the stages that `dvc status` finds changed; None where DVC cannot tell."""
    command = (sys.executable, "-m", "dvc", "status", "--json")
    done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    try:
        return set(json.loads(done.stdout)) if done.returncode == 0 else None
    except ValueError:
        return None


def stages_of(architecture: str) -> set[str]:
    """The stages that a model and its report come from."""
    return {*_MODEL_STAGES, *(f"{name}@{architecture}" for name in _ARCHITECTURE_STAGES)}


def describes_model(directory: Path, architecture: str) -> bool:
    """Whether dvc.lock names the model that lies in models/ARCHITECTURE, by its bytes."""
    named = lineage.data_hashes(directory)
    files = [f"models/{architecture}/{name}" for name in ("model.safetensors", "model.json")]
    return all(path in named and named[path] == _md5(directory / path) for path in files)


def hashes_in(content: bytes) -> set[str]:
    """Everything in a text that looks like one of DVC's hashes, `.dir` included."""
    return {match.decode() for match in _HASH.findall(content)}


def cache_dir(directory: Path) -> Path | None:
    """DVC's cache; None where there is no DVC repository."""
    return lineage_dvc.cache_dir(directory) if (directory / ".dvc").is_dir() else None


def read(folder: Path) -> Cache:
    """List the cache in `folder`."""
    objects = {}
    for path in (folder / "files" / "md5").glob("??/*"):
        name = path.parent.name + path.name
        if _HASH.fullmatch(name.encode()):  # not what DVC is just writing
            objects[name] = path.stat().st_size
    entries = {
        path: frozenset(hashes_in(path.read_bytes()))
        for path in (folder / "runs").glob("*/*/*")
        if path.is_file()
    }
    return Cache(folder, objects, entries)


def with_contents(cache: Cache, names: Iterable[str]) -> set[str]:
    """`names` and, for each folder among them that the cache holds, the files in it."""
    found = set(names)
    for name in list(found):
        if name.endswith(".dir") and name in cache.objects:
            found |= hashes_in(cache.path(name).read_bytes())
    return found


def in_workspace(directory: Path) -> set[str]:
    """Hashes in dvc.lock and the .dvc files here and in experiments' folders (.dvc/tmp)."""
    names: set[str] = set()
    for path in _pointers(directory):
        with contextlib.suppress(FileNotFoundError):  # an experiment that has just ended
            names |= hashes_in(path.read_bytes())
    return names


def in_git(directory: Path, tips_only: bool) -> set[str]:
    """Hashes in every file of every commit that git knows a way to, also by its reflog.

    tips_only: of the newest commit of each branch, tag, experiment and stash only.

    Raises:
        UserError: git failed or does not answer; nothing may be taken for unneeded then.
    """
    if not lineage_git.is_repository(directory):
        return set()
    which: tuple[str, ...] = ("--all", "--reflog", "--indexed-objects")
    if tips_only:
        which = ("--no-walk", "--all", "--indexed-objects", *_stashed(directory))
    return _in_objects(directory, _git(directory, b"", "rev-list", "--objects", *which))


def in_commit(directory: Path, commit: str) -> set[str]:
    """Hashes in the files of one commit; none where git has lost it."""
    if not _git(directory, b"", "cat-file", "-t", commit, may_fail=True).startswith(b"commit"):
        return set()
    listed = _git(directory, b"", "rev-list", "--objects", "--no-walk", commit)
    return _in_objects(directory, listed)


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold DVC's own lock, so that nothing starts that would write into the cache.

    Raises:
        UserError: a `dvc` command or an experiment is at work.
    """
    if not (directory / ".dvc").is_dir():
        yield
        return
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    for path in (directory / ".dvc" / "tmp").rglob("rwlock"):
        _refuse_if_used(path)
    with contextlib.closing(Repo(str(directory))) as repo:
        try:
            repo.lock.lock()
        except DvcException:
            raise UserError(
                "DVC is at work in this repository; wait for it and type the same again."
            ) from None
        try:
            yield
        finally:
            repo.lock.unlock()


def remove(directory: Path, names: Iterable[str]) -> None:
    """Remove objects from the cache; folders' lists first, so that none lacks a file it names."""
    folder = cache_dir(directory)
    if folder:
        cache = Cache(folder, {})
        for name in sorted(names, key=lambda name: not name.endswith(".dir")):
            cache.path(name).unlink(missing_ok=True)


def _refuse_if_used(rwlock: Path) -> None:
    """DVC names there who reads and writes which path; entries of dead processes do not count.

    After a kill another program may have got the number, in containers always the same one: this
    one is no `dvc`, and of others the user is asked, since a clock that was set makes a living
    `dvc` look younger than its entry.
    """
    try:
        content: Any = json.loads(rwlock.read_text(encoding="utf-8") or "{}")
    except (OSError, ValueError):
        content = {}
    pids = {int(pid) for pid in re.findall(r'"pid": (\d+)', json.dumps(content))}
    alive = [pid for pid in sorted(pids - {os.getpid()}) if psutil.pid_exists(pid)]
    if alive:
        raise UserError(
            f"`dvc` is running in this repository (process {alive[0]}); wait until it has ended and"
            " type the same again. If that process is no `dvc`, one was killed here: remove"
            f" {rwlock} first."
        )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _pointers(directory: Path) -> Iterator[Path]:
    """dvc.lock and *.dvc below `directory`, not in the folders of data and packages."""
    skipped = {directory / name for name in (".git", ".venv", "mlruns", ".dvc/cache")}
    for folder, names, files in os.walk(directory):
        names[:] = [name for name in names if Path(folder, name) not in skipped]
        yield from (Path(folder, f) for f in files if f == "dvc.lock" or f.endswith(".dvc"))


def _stashed(directory: Path) -> list[str]:
    """Commits that only a reflog names: git's stashes, and DVC's queued experiments."""
    refs = ("refs/stash", "refs/exps/stash", "refs/exps/celery/stash", "refs/exps/celery/failed")
    found = (_git(directory, b"", "reflog", "--format=%H", ref, may_fail=True) for ref in refs)
    return b" ".join(found).decode().split()


def _in_objects(directory: Path, listed: bytes) -> set[str]:
    """Hashes in the blobs among git's objects, one `NAME PATH` a line."""
    names = b"".join(line[:40] + b"\n" for line in listed.splitlines())
    about = _git(
        directory, names, "cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname)"
    )
    rows = [line.split() for line in about.splitlines()]
    blobs = {name: int(size) for kind, size, name in rows if kind == b"blob"}
    found: set[str] = set()
    for batch in _batches({name: size for name, size in blobs.items() if size <= _MAX_BYTES}):
        found |= hashes_in(_git(directory, b"\n".join(batch) + b"\n", "cat-file", "--batch"))
    return found


def _batches(sizes: dict[bytes, int]) -> Iterator[list[bytes]]:
    """Names whose contents are at most _MAX_BYTES together: a history may not fit in memory."""
    batch: list[bytes] = []
    room = _MAX_BYTES
    for name, size in sizes.items():
        if size > room:
            yield batch
            batch, room = [], _MAX_BYTES
        batch.append(name)
        room -= size
    if batch:
        yield batch


def _git(directory: Path, text: bytes, *arguments: str, may_fail: bool = False) -> bytes:
    try:
        return lineage_git.output(directory, *arguments, text=text)
    except lineage_git.GitError as error:
        if may_fail:
            return b""
        raise UserError(
            f"git could not list what is committed ({one_line(error)}); see `git fsck`."
        ) from None
