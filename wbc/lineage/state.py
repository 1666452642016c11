"""Where a run comes from: the git commit, what was not committed, DVC's experiment and hashes.

Everything is read from a directory of the caller's choice,
in a stage its own working directory: under `dvc exp run --temp` and `--queue` that is a copy of
the repository with the experiment's own changes. dvc.lock is left out of the dirty test, because
every upstream stage rewrites it while the pipeline runs.
"""

import fnmatch
import functools
import getpass
import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from wbc.errors import UserError
from wbc.lineage import git as lineage_git

log = logging.getLogger(__name__)

MAX_PATCH_BYTES: Final = 5_000_000  # of one patch
MAX_UNTRACKED_BYTES: Final = 1_000_000  # of one new file; larger ones are only named
_HEADER_BYTES: Final = 500  # of a new file in a patch, at least with a name that is not too long
_MAX_NAMED: Final = 20  # files that the note names
# Names of new files that hold passwords, tokens and keys; .gitignore has most of them.
_SECRETS: Final = (
    *(".env", ".env.*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.kdbx", "id_rsa*"),
    *("id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".pgpass", ".pypirc", ".npmrc"),
    *("kaggle.json", "credentials*", "*.credentials", "*secret*", "*password*", "*token*"),
)
# What `git apply` can read, whatever the user has set for the eye: nbdime's and other converters,
# other prefixes, few lines of context, a log in place of a submodule's commit.
_APPLICABLE: Final = (
    *("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--submodule=short"),
)
_NOT_DVC_LOCK: Final = (".", ":(exclude)dvc.lock")


@dataclass(frozen=True)
class Lineage:
    """The state of the code. Empty strings where there is no git or no DVC experiment."""

    commit: str
    dirty: bool
    patch: bytes  # `git apply` on the commit brings the changes back; b"" when clean
    patch_note: str  # what the patch could not hold; "" when it holds everything
    experiment: str
    baseline: str


def read(directory: Path) -> Lineage:
    """Read git's and DVC's view of the repository that `directory` belongs to.

    The files are compared with HEAD by content, through an index of our own. Git's index goes by
    size and whole seconds and calls params.yaml clean when DVC has just changed one digit in it;
    and so the user's index and object store stay as they are.
    """
    commit = _git(directory, "rev-parse", "HEAD").decode().strip()
    changed, patch, note = b"", b"", ""
    if not commit:
        _warn_where_git_fails(directory)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            fresh = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            _git(directory, "read-tree", "HEAD", environment=fresh)
            status = ("status", "--porcelain", "--", *_NOT_DVC_LOCK)
            changed = _git(directory, *status, environment=fresh)
            patch, note = _patch(directory, fresh) if changed else (b"", "")
    return Lineage(
        commit=commit,
        dirty=bool(changed),
        patch=patch,
        patch_note=note,
        experiment=os.environ.get("DVC_EXP_NAME", ""),
        baseline=os.environ.get("DVC_EXP_BASELINE_REV", ""),
    )


def data_hashes(directory: Path) -> dict[str, str]:
    """Path -> DVC's md5 of every stage output that dvc.lock in `directory` names."""
    lock = directory / "dvc.lock"
    return outs_of(lock.read_bytes()) if lock.is_file() else {}


def stage_params(directory: Path, architecture: str) -> dict[str, Any]:
    """The parameters, nested by section, that made the model's stages, as dvc.lock recorded them.

    Stages of other networks (`train@OTHER`) are left out; {} where there is no dvc.lock.
    """
    values: dict[str, Any] = {}
    for name, stage in _locked_stages(directory).items():
        if name.partition("@")[2] in ("", architecture):
            values.update(stage.get("params", {}).get("params.yaml", {}))
    return values


def changed_modules(directory: Path, architecture: str) -> list[str]:
    """Modules that made the model's pixels and weights and are not now what they were then.

    dvc.lock has the hash of each module when its stage ran; [] where there is no dvc.lock.
    """
    changed = set()
    stages = _locked_stages(directory)
    for name in ("preprocess", f"train@{architecture}"):
        for dep in stages.get(name, {}).get("deps", []):
            path = directory / dep["path"]
            if dep["path"].endswith(".py") and _md5(path) != dep.get("md5"):
                changed.add(dep["path"])
    return sorted(changed)


def user_name(directory: Path) -> str:
    """Who acts here: the name that git writes into commits, else the operating system's."""
    named = _git(directory, "config", "user.name").decode(errors="replace").strip()
    try:
        return named or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"


def _md5(path: Path) -> str:
    if not path.is_file():
        return ""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _locked_stages(directory: Path) -> dict[str, Any]:
    lock = directory / "dvc.lock"
    return stages_of(lock.read_bytes()) if lock.is_file() else {}


@functools.lru_cache(maxsize=2)
def stages_of(lock: bytes) -> dict[str, Any]:
    """What a dvc.lock says of each stage: deps, params and outs. Not to be changed by the caller.

    Remembered, because reading one takes half a second and a stage asks several times.
    """
    document: Any = YAML(typ="safe", pure=True).load(lock.decode("utf-8"))
    stages: dict[str, Any] = (document or {}).get("stages") or {}
    return stages


def outs_of(lock: bytes) -> dict[str, str]:
    """Path -> DVC's md5 of every stage output that a dvc.lock names."""
    outs = [out for stage in stages_of(lock).values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if "md5" in out}


@functools.cache
def _warn_where_git_fails(directory: Path) -> None:
    """Once: a stage goes on without a commit, but nobody is to find out when it is wanted."""
    try:
        lineage_git.is_repository(directory)
    except UserError as error:
        log.warning("No commit is recorded, without which no model can be verified: %s", error)


def _patch(directory: Path, fresh: dict[str, str]) -> tuple[bytes, str]:
    """Everything that differs from HEAD, new files included, and what was left out of it."""
    list_new = ("ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    listed = _git(directory, *list_new, environment=fresh)
    names = [name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name]
    secret = [name for name in names if _may_be_secret(name)]
    small = _fitting({name: _size(directory / name) for name in sorted(set(names) - set(secret))})
    large = sorted(set(names) - set(small) - set(secret))
    notes = (_note("too large for the patch", large), _note("left out as secret", sorted(secret)))
    note = "; ".join(filter(None, notes))
    if small:
        wanted = "\0".join(f":(literal){name}" for name in small)
        add = ("add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
        _git(directory, *add, environment=fresh, text=wanted.encode(errors="surrogateescape"))
    diff = ("diff", *_APPLICABLE, "HEAD", "--", *_NOT_DVC_LOCK)
    patch = _git(directory, *diff, environment=fresh)
    if len(patch) > MAX_PATCH_BYTES:
        return patch[:MAX_PATCH_BYTES], f"cut at {MAX_PATCH_BYTES} of {len(patch)} bytes"
    return patch, note


def _fitting(sizes: dict[str, int]) -> list[str]:
    """New files for the patch, until half of it is full: as text each may double there.

    A folder of pictures that nobody told git to ignore would otherwise be read and packed in
    memory at the start of every stage. The smallest come first, which code is among.
    """
    chosen, room = [], MAX_PATCH_BYTES // 2
    for name, size in sorted(sizes.items(), key=lambda item: item[1]):
        if size <= MAX_UNTRACKED_BYTES and size + _HEADER_BYTES <= room:
            chosen.append(name)
            room -= size + _HEADER_BYTES
    return chosen


def _may_be_secret(name: str) -> bool:
    """Whether a file is called as files with passwords and keys are, which no run may hold."""
    last = name.rpartition("/")[2].lower()
    return any(fnmatch.fnmatchcase(last, pattern) for pattern in _SECRETS)


def _note(why: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{why}: {', '.join(names[:_MAX_NAMED])}{more}"


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # gone since git listed it
        return 0


def _git(
    directory: Path, *arguments: str, environment: dict[str, str] | None = None, text: bytes = b""
) -> bytes:
    """What git prints; b"" where there is no git, no repository or no commit yet."""
    try:
        return lineage_git.output(
            directory,
            *arguments,
            environment={"GIT_OPTIONAL_LOCKS": "0", **(environment or {})},
            text=text,
        )
    except lineage_git.GitError:
        return b""
