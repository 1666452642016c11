"""git for those who go back: the state of the code that made a model, as a commit, as a folder.

What is written is one commit object on no branch; branches, index and files stay as they are until
`switch_to`.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wbc.errors import UserError, one_line

# A hook of the user (DVC installs one that runs `dvc checkout`) must not run in between.
_NO_HOOKS: Final = ("-c", "core.hooksPath=/dev/null")
# Set where git itself started us, in a hook; they would name another repository than `directory`.
_ELSEWHERE: Final = (
    "GIT_DIR",
    "GIT_COMMON_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)


class GitError(Exception):
    """git ended with an error; the message is what it printed."""


def is_repository(directory: Path) -> bool:
    """Whether `directory` belongs to a git repository.

    Raises:
        UserError: it does by its folders, but git does not answer.
    """
    try:
        output(directory, "rev-parse", "--git-dir")
    except GitError as error:
        here = directory.absolute()
        if any((folder / ".git").exists() for folder in (here, *here.parents)):
            raise UserError(
                f"{directory} is in a git repository, but git does not answer there"
                f" ({one_line(error)}); mend that and run the same command again."
            ) from None
        return False
    return True


def has_commit(directory: Path, commit: str) -> bool:
    """Whether the repository has the commit, on a branch or not.

    Raises:
        UserError: `directory` belongs to no git repository, or git does not answer.
    """
    if not is_repository(directory):
        raise UserError(
            f"{directory} is in no git repository, so there is no commit to go back to; clone the"
            " repository that the version was trained in, and run the same command there."
        )
    try:
        output(directory, "cat-file", "-e", f"{commit}^{{commit}}")
    except GitError:
        return False
    return True


def record_state(directory: Path, commit: str, patch: bytes, files: Mapping[str, bytes]) -> str:
    """A commit, on no branch, of `commit` with a patch applied and some files replaced.

    The same arguments give the same commit, and `commit` itself where nothing differs.

    Args:
        patch: from wbc.lineage.state.read, which names files from git's root.
        files: path from `directory` -> content.

    Raises:
        GitError: the patch does not fit.
    """
    prefix = output(directory, "rev-parse", "--show-prefix").decode().strip()
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        output(directory, "read-tree", commit, environment=index)
        if patch:
            root = Path(output(directory, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
            apply = ("apply", "--cached", "--whitespace=nowarn", "-")
            output(root, *apply, environment=index, text=patch)
        for name, content in files.items():
            blob = output(directory, "hash-object", "-w", "--stdin", text=content).decode().strip()
            entry = f"100644,{blob},{prefix}{name}"
            output(directory, "update-index", "--add", "--cacheinfo", entry, environment=index)
        tree = output(directory, "write-tree", environment=index).decode().strip()
    if tree == output(directory, "rev-parse", f"{commit}^{{tree}}").decode().strip():
        return commit
    # The commit's own date and nobody's name, so that the same state is the same commit.
    when = output(directory, "show", "-s", "--format=%cI", commit).decode().strip()
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "wbc"), ("EMAIL", "wbc@localhost"), ("DATE", when))
    }
    text = f"What a model was trained from: {commit[:12]}, what was not committed, its dvc.lock\n"
    made = output(
        directory, "commit-tree", tree, "-p", commit, environment=who, text=text.encode("utf-8")
    )
    return made.decode().strip()


def copy_at(directory: Path, commit: str, patch: bytes, target: Path) -> Path:
    """A repository of its own at `commit` with the patch, which shares objects with `directory`.

    It has no branches, settings or hooks of it. Returns where in it `directory` is.

    Raises:
        GitError: the patch does not fit.
    """
    found = output(directory, "rev-parse", "--git-path", "objects").decode().rstrip("\n")
    prefix = output(directory, "rev-parse", "--show-prefix").decode().rstrip("\n")
    target.mkdir(parents=True)
    output(target, "init", "--quiet", "--template=")
    alternates = target / ".git" / "objects" / "info" / "alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{(directory / found).resolve()}\n", encoding="utf-8")
    state = record_state(target, commit, patch, {})
    output(target, *_NO_HOOKS, "checkout", "--quiet", "--detach", state)
    return target / prefix


def changed_files(directory: Path) -> list[str]:
    """Tracked files that are not as they were committed."""
    words = ("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames")
    found = output(directory, *words).decode(errors="replace").split("\0")
    return [entry[3:] for entry in found if entry]


def position(directory: Path) -> tuple[str, str]:
    """Where HEAD is: the commit, and the arguments of `git switch` that lead back to it."""
    commit = output(directory, "rev-parse", "HEAD").decode().strip()
    try:
        branch = output(directory, "symbolic-ref", "--quiet", "--short", "HEAD").decode().strip()
    except GitError:
        return commit, f"--detach {commit[:12]}"
    return commit, branch


def switch_to(directory: Path, name: str) -> None:
    """Check out a branch by its name, or a commit as `--detach COMMIT`.

    Raises:
        GitError: a file that git does not follow, ignored ones too, is in the way; nothing was
            changed.
    """
    words = name.split(" ") if name.startswith("--detach ") else [name]
    output(directory, *_NO_HOOKS, "checkout", "--quiet", "--no-overwrite-ignore", *words, "--")


def output(
    directory: Path, *arguments: str, environment: dict[str, str] | None = None, text: bytes = b""
) -> bytes:
    """What git prints, asked in `directory` whatever repository the caller's environment names.

    Raises:
        GitError: git failed, or there is none.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env={**kept, "LC_ALL": "C", **(environment or {})},
            input=text,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise GitError(str(error)) from None
    if done.returncode:
        raise GitError(done.stderr.decode(errors="replace").strip())
    return done.stdout
