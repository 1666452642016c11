"""wbc.registry.workspace: what a checkout changes, refuses and says is missing."""

import contextlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wbc.errors import UserError
from wbc.lineage import dvc as lineage_dvc
from wbc.lineage import git as lineage_git
from wbc.registry import access, origin, workspace
from wbc.registry.origin import Origin

DVC_YAML = """stages:
  train:
    matrix:
      architecture: ${architectures}
    cmd: python -m stages.train ${item.architecture}
    outs:
      - models/${item.architecture}
"""
FOLDER, FILE = f"{'a' * 32}.dir", "b" * 32


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """DVC without git, one network left in params.yaml."""
    command = (sys.executable, "-m", "dvc", "init", "-q", "--no-scm")
    subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "params.yaml").write_text("architectures: [resnet18]\n")
    return tmp_path


def _lock() -> bytes:
    lines = ["schema: '2.0'", "stages:"]
    for name in ("resnet18", "densenet121"):
        out = f"{{path: models/{name}, md5: {FOLDER}}}"
        lines.append(f"  train@{name}: {{cmd: x, outs: [{out}]}}")
    return "\n".join(lines).encode()


def _cache(repository: Path, name: str, text: str) -> None:
    path = repository / ".dvc" / "cache" / "files" / "md5" / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_only_what_the_state_needs_and_the_cache_lacks_is_missing(repository: Path) -> None:
    pointer = repository / "data" / "incoming" / "cells.zip.dvc"
    pointer.parent.mkdir(parents=True)
    pointer.write_text(f"outs:\n- md5: {FILE}\n  path: cells.zip\n")
    archive, model = "data/incoming/cells.zip", "models/resnet18"
    assert workspace._missing(repository, _lock()) == [model, archive]
    _cache(repository, FOLDER, f'[{{"md5": "{FILE}", "relpath": "model.json"}}]')
    assert workspace._missing(repository, _lock()) == [model, archive]  # its file is not there
    _cache(repository, FILE, "{}")
    assert workspace._missing(repository, _lock()) == []


class Checkout:
    """A git repository, a version of it, and DVC's part, which takes seconds, in its place."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        git(path, "init", "-q", "-b", "main")
        (path / ".gitignore").write_text("/data\n")
        for text in ("old", "new"):
            (path / "code.py").write_text(f"{text}\n")
            (path / "dvc.lock").write_text("{}\n")
            git(path, "add", ".")
            git(path, "commit", "-qm", text)
        self.commit = git(path, "rev-parse", "HEAD~")
        self.unsaved: list[str] | Exception = []
        self.stages = {"train@resnet18", "evaluate@resnet18"}
        self.origin = Origin(
            version="3", name="resnet18-abc", architecture="resnet18", model_sha256="",
            commit=self.commit, patch=b"", patch_note="", lock=b"{}\n", tags={}, run_id="",
        )  # fmt: skip
        store = object()
        monkeypatch.setattr(
            access, "opened", lambda where: contextlib.nullcontext(store if where == path else None)
        )
        monkeypatch.setattr(
            origin, "read", lambda *words: self.origin if words == (store, "champion") else None
        )
        monkeypatch.setattr(lineage_dvc, "without_contradictions", lambda lock: lock)
        monkeypatch.setattr(lineage_dvc, "checkout", self.dvc_checkout)
        monkeypatch.setattr(
            lineage_dvc, "stage_names", lambda where: self.stages if where == path else 0
        )
        monkeypatch.setattr(lineage_dvc, "cache_dir", lambda where: where / "data" / "cache")

    def dvc_checkout(self, path: Path) -> list[str]:
        assert path == self.path and (path / "code.py").read_text() != "new\n"
        if isinstance(self.unsaved, Exception):
            raise self.unsaved
        return self.unsaved

    def run(self, **changes: Any) -> list[str]:
        self.origin = replace(self.origin, **changes)
        return workspace.checkout(self.path, "champion")

    def refusal(self, **changes: Any) -> str:
        """What it says; nothing was changed."""
        before = git(self.path, "status", "--porcelain")
        with pytest.raises(UserError) as error:
            self.run(**changes)
        assert git(self.path, "symbolic-ref", "--short", "HEAD") == "main"
        assert git(self.path, "status", "--porcelain") == before
        return str(error.value)


def git(path: Path, *words: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@localhost")
    done = subprocess.run(["git", *who, *words], cwd=path, check=True, capture_output=True)
    return done.stdout.decode().rstrip()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    return Checkout(tmp_path, monkeypatch)


LOCK = b"""stages:
  train@resnet18: {cmd: x, outs: [{path: models/resnet18, md5: %s}, {path: code.py, md5: 1}]}
  evaluate@resnet18: {cmd: x, outs: [{path: reports, md5: d751713988987e9331980363e24189ce.dir}]}
  train@densenet121: {cmd: x, outs: [{path: models/densenet121, md5: %s}, {path: plots}]}
"""
LOCK = LOCK % (FILE.encode(), FILE.encode())


def test_a_checkout_says_where_the_workspace_is_and_how_back(made: Checkout) -> None:
    said = made.run()
    assert git(made.path, "rev-parse", "HEAD") == made.commit
    assert (made.path / "code.py").read_text() == "old\n"
    assert said == [
        f"The workspace is at version 3 (resnet18-abc): commit {made.commit[:12]}, on no branch.",
        "`dvc repro` brings reports and comparison, which its dvc.lock does not name.",
        "Back: `git switch main` and `dvc checkout`. To work on from here, first `git switch -c"
        " NAME`.",
    ]


def test_patch_and_lock_lie_in_a_commit_on_top(made: Checkout) -> None:
    git(made.path, "checkout", "-q", made.commit)
    (made.path / "code.py").write_text("patched\n")
    patch = subprocess.run(["git", "diff"], cwd=made.path, capture_output=True).stdout
    git(made.path, "checkout", "-qf", "main")
    said = made.run(patch=patch, lock=LOCK, patch_note="too large: x")
    assert (made.path / "code.py").read_text() == "patched\n"
    assert (made.path / "dvc.lock").read_bytes() == LOCK
    state = git(made.path, "rev-parse", "HEAD")
    assert git(made.path, "rev-parse", "HEAD~") == made.commit
    assert said[1:4] == [
        f"On top of it lies a commit ({state[:12]}) with its uncommitted changes and the dvc.lock"
        " of its run.",
        "Not restored, since it was not recorded: too large: x.",
        "Not in DVC's cache: models/resnet18; `dvc pull` brings them from the remote.",
    ]
    assert len(said) == 5 and said[4].startswith("Back: ")
    again = made.run(patch=b"", patch_note="")
    assert "with the dvc.lock of its run." in again[1]
    assert f"`git switch --detach {state[:12]}`" in again[-1]


def test_data_that_neither_the_workspace_nor_the_cache_has_are_named(made: Checkout) -> None:
    pointer = made.path / "data" / "incoming" / "cells.zip.dvc"
    pointer.parent.mkdir(parents=True)
    pointer.write_text(f"outs:\n- md5: {FILE}\n  path: cells.zip\n")
    (made.path / "code.py").write_text("old\n")
    git(made.path, "add", "-f", ".")
    git(made.path, "commit", "-qm", "pointer")
    lock = LOCK.replace(b"evaluate@", b"other@") + b"  stage: {cmd: x}\n"
    made.stages |= {"other@resnet18", "stage"}
    said = made.run(commit=git(made.path, "rev-parse", "HEAD"), lock=lock)
    assert said[2].startswith("Not in DVC's cache: models/resnet18, data/incoming/cells.zip; `dvc")
    (made.path / "models" / "resnet18").mkdir(parents=True)
    assert workspace._missing(made.path, lock) == ["data/incoming/cells.zip"]
    pointer.with_suffix("").write_text("x")
    assert workspace._missing(made.path, lock) == []


def test_a_patch_that_does_not_fit_changes_nothing(made: Checkout) -> None:
    patch = b"diff --git a/code.py b/code.py\n--- a/code.py\n+++ b/code.py\n@@ -1 +1 @@\n-x\n+y\n"
    said = made.refusal(patch=patch)
    assert said.startswith(
        f"The recorded changes of version 3 do not fit its commit {made.commit[:12]} ("
    )
    assert "patch" in said and "\n" not in said and said.endswith("; nothing was changed.")


def test_uncommitted_changes_are_not_lost(made: Checkout) -> None:
    (made.path / "code.py").write_text("mine\n")
    assert made.refusal() == (
        "Uncommitted changes would be lost (code.py); commit them, or put them aside with `git"
        " stash`, and run the same command again."
    )
    for number, words in ((1, "0.py, 1.py, code.py"), (2, "0.py, 1.py, 2.py and 1 more")):
        for name in range(number + 1):
            (made.path / f"{name}.py").write_text("x")
        git(made.path, "add", ".")
        assert f"({words}); commit" in made.refusal()


def test_files_in_the_way_are_named(made: Checkout) -> None:
    git(made.path, "checkout", "-q", made.commit)
    for name in ("old.py", "older.py", "z1.py", "z2.py"):
        (made.path / name).write_text("x")
    git(made.path, "add", ".")
    git(made.path, "commit", "-qm", "with old.py")
    made.commit = git(made.path, "rev-parse", "HEAD")
    git(made.path, "checkout", "-q", "main")
    (made.path / "old.py").write_text("mine")
    said = made.refusal(commit=made.commit)
    assert said == (
        "Files that git does not follow are in the way (old.py); move them away and run the same"
        " command again. Nothing was changed."
    )
    assert (made.path / "old.py").read_text() == "mine"
    for name in ("older.py", "z1.py", "z2.py"):
        (made.path / name).write_text("mine")
    assert "(old.py, older.py, z1.py); move" in made.refusal(commit=made.commit)


def test_what_else_git_says_is_told_in_one_line(
    made: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def switch_to(*_: object) -> None:
        raise lineage_git.GitError("no\nroom " + "x" * 300)

    monkeypatch.setattr(lineage_git, "switch_to", switch_to)
    assert f"(no room {'x' * 192}); move" in made.refusal()


def test_data_that_only_the_workspace_has_are_not_lost(made: Checkout) -> None:
    made.unsaved = ["data/a", "data/b", "data/c"]
    said = made.refusal()
    assert said.startswith("Data would be lost that DVC's cache does not have (data/a, data/b, dat")
    assert "data/c); save them with `dvc commit`" in said
    assert said.endswith("and run the same command again. Nothing was changed.")
    made.unsaved = [*made.unsaved, "data/d"]
    assert "(data/a, data/b, data/c and 1 more);" in made.refusal()


def test_where_dvc_fails_git_goes_back(made: Checkout) -> None:
    made.unsaved = UserError("`dvc checkout` failed")
    assert made.refusal() == "`dvc checkout` failed"


def test_a_commit_that_is_not_here_is_named(made: Checkout) -> None:
    said = made.refusal(commit="cd" * 20)
    assert said.startswith(f"Commit {'cd' * 20} of version 3 is not in this repository; `git fetch")
