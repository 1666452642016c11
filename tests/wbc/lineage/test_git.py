"""wbc.lineage.git: a recorded state as a commit, as a folder, and as the workspace."""

import os
import subprocess
from pathlib import Path

import pytest

from wbc.errors import UserError
from wbc.lineage import git as lineage_git
from wbc.lineage import state as lineage


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    then = {f"GIT_{role}_DATE": "2020-01-02T03:04:05+00:00" for role in ("AUTHOR", "COMMITTER")}
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=directory,
        env={**os.environ, **then},
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / ".gitignore").write_text("/ignored\n")
    (root / "params.yaml").write_text("seed: 1\n")
    (root / "dvc.lock").write_text("old\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def changed(repository: Path) -> lineage.Lineage:
    """Uncommitted work as a run records it; the workspace is clean again after."""
    (repository / "params.yaml").write_text("seed: 2\n")
    (repository / "new.bin").write_bytes(bytes(range(256)))
    found = lineage.read(repository)
    git(repository, "checkout", "params.yaml")
    (repository / "new.bin").unlink()
    return found


def test_a_state_is_one_commit_on_no_branch(repository: Path) -> None:
    found = changed(repository)

    states = [
        lineage_git.record_state(repository, found.commit, found.patch, {"dvc.lock": b"new\n"})
        for _ in range(2)
    ]

    assert states[0] == states[1]
    date = ("show", "-s", "--format=%cI %aI")
    assert git(repository, *date, states[0]) == git(repository, *date, found.commit)
    assert git(repository, "rev-parse", f"{states[0]}^") == found.commit
    assert git(repository, "show", f"{states[0]}:params.yaml") == "seed: 2"
    assert git(repository, "show", f"{states[0]}:dvc.lock") == "new"
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "branch", "--all", "--contains", states[0]) == ""


def test_a_state_without_changes_is_the_commit_itself(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert lineage_git.record_state(repository, commit, b"", {"dvc.lock": b"old\n"}) == commit


def test_a_patch_that_does_not_fit_is_an_error(repository: Path) -> None:
    patch = changed(repository).patch.replace(b"-seed: 1", b"-seed: 9")
    with pytest.raises(lineage_git.GitError, match="does not apply"):
        lineage_git.record_state(repository, "HEAD", patch, {})


def test_a_copy_has_commit_and_patch_and_leaves_the_original_alone(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = changed(repository)
    (repository / "params.yaml").write_text("seed: 3\n")
    git(repository, "commit", "-qam", "later")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as in a hook of git
    count = sum(1 for _ in (repository / ".git").rglob("*"))

    copy = lineage_git.copy_at(repository, found.commit, found.patch, tmp_path / "copy")

    assert (copy / "params.yaml").read_text() == "seed: 2\n"
    assert (copy / "new.bin").read_bytes() == bytes(range(256))
    assert (repository / "params.yaml").read_text() == "seed: 3\n"
    assert sum(1 for _ in (repository / ".git").rglob("*")) == count


def test_a_copy_of_a_project_below_gits_root(repository: Path, tmp_path: Path) -> None:
    (repository / "project").mkdir()
    (repository / "project" / "params.yaml").write_text("a: 1\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    (repository / "project" / "params.yaml").write_text("a: 2\n")
    found = lineage.read(repository / "project")

    copy = lineage_git.copy_at(repository / "project", found.commit, found.patch, tmp_path / "copy")

    assert copy == tmp_path / "copy" / "project"
    assert (copy / "params.yaml").read_text() == "a: 2\n"


def test_a_commit_on_no_branch_is_found_and_another_is_not(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "commit", "-q", "--amend", "-m", "amended")
    assert lineage_git.has_commit(repository, commit)
    assert not lineage_git.has_commit(repository, "0123456789" * 4)


def test_without_git_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="in no git repository"):
        lineage_git.has_commit(tmp_path, "abc")


def test_switching_there_and_back(repository: Path) -> None:
    found = changed(repository)
    state = lineage_git.record_state(repository, found.commit, found.patch, {})
    _, back = lineage_git.position(repository)
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch hook-ran\n")
    hook.chmod(0o755)

    lineage_git.switch_to(repository, f"--detach {state}")
    assert (repository / "new.bin").is_file()
    assert lineage_git.position(repository) == (state, f"--detach {state[:12]}")
    lineage_git.switch_to(repository, back)

    assert back == "main" == git(repository, "branch", "--show-current")
    assert not (repository / "new.bin").exists()
    assert not (repository / "hook-ran").exists()


@pytest.mark.parametrize("name", ["new.bin", "ignored"])
def test_a_file_in_the_way_stops_the_switch(repository: Path, name: str) -> None:
    (repository / name).write_text("committed")
    git(repository, "add", "--force", name)
    git(repository, "commit", "-qm", "second")
    state = git(repository, "rev-parse", "HEAD")
    git(repository, "reset", "-q", "--hard", "HEAD^")
    (repository / name).write_text("precious")

    with pytest.raises(lineage_git.GitError, match=name):
        lineage_git.switch_to(repository, f"--detach {state}")

    assert (repository / name).read_text() == "precious"
    assert git(repository, "branch", "--show-current") == "main"


def test_changed_files_are_those_that_git_follows(repository: Path) -> None:
    (repository / "untracked").write_text("x")
    assert lineage_git.changed_files(repository) == []
    (repository / "params.yaml").write_text("seed: 22\n")
    (repository / "dvc.lock").write_text("newer\n")
    os.utime(repository / "params.yaml")
    assert lineage_git.changed_files(repository) == ["dvc.lock", "params.yaml"]
