"""wbc.lineage.cache: which of DVC's objects something still names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wbc.errors import UserError
from wbc.lineage import cache as lineage_cache
from wbc.lineage import git as lineage_git

HASHES = [f"{number:032x}" for number in range(1, 10)]


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-qb", "main")
    return tmp_path


def commit(folder: Path, name: str) -> str:
    (folder / "dvc.lock").write_text(f"outs:\n- path: x\n  md5: {name}\n")
    git(folder, "add", "dvc.lock")
    git(folder, "commit", "-qm", name)
    return git(folder, "rev-parse", "HEAD").strip()


def test_hashes_in_any_text() -> None:
    text = f"- md5: {HASHES[0]}\n+  md5: {HASHES[1]}.dir\nsha: {'a' * 64} {HASHES[2][:31]}"
    assert lineage_cache.hashes_in(text.encode()) == {HASHES[0], f"{HASHES[1]}.dir"}


def test_what_git_can_bring_back_is_needed(repository: Path) -> None:
    old, branch, tag, exp, reset, stashed, staged, lost = HASHES[:8]
    commit(repository, old)
    git(repository, "branch", "side")
    git(repository, "checkout", "-q", "side")
    commit(repository, branch)
    git(repository, "checkout", "-q", "main")
    git(repository, "tag", "v1", commit(repository, tag))
    experiment = commit(repository, exp)
    git(repository, "update-ref", "refs/exps/ab/cd/able-newt", experiment)
    commit(repository, reset)
    git(repository, "reset", "-q", "--hard", "v1")
    for name in (stashed, lost):
        (repository / "dvc.lock").write_text(name)
        git(repository, "stash", "-q")
    (repository / "dvc.lock").write_text(staged)
    git(repository, "add", "dvc.lock")
    everything = {old, branch, tag, exp, reset, stashed, staged, lost}
    assert lineage_cache.in_git(repository, tips_only=False) == everything
    tips = lineage_cache.in_git(repository, tips_only=True)
    assert tips == everything - {old, reset}
    assert lineage_cache.in_commit(repository, experiment) == {exp}
    assert lineage_cache.in_commit(repository, "0" * 40) == set()


def test_a_long_history_is_not_held_in_memory_at_once(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage_cache, "_MAX_BYTES", 1000)
    for name in HASHES[:3]:
        commit(repository, f"{name} {'x' * 600}")
    commit(repository, f"{HASHES[3]} {'x' * 1000}")  # larger than any dvc.lock
    answers: list[int] = []
    ask = lineage_git.output

    def listened(directory: Path, *words: str, text: bytes = b"") -> bytes:
        answer = ask(directory, *words, text=text)
        answers.extend([len(answer)] if words == ("cat-file", "--batch") else [])
        return answer

    monkeypatch.setattr(lineage_git, "output", listened)
    assert lineage_cache.in_git(repository, tips_only=False) == set(HASHES[:3])
    assert len(answers) == 3 and max(answers) < 1000


def test_without_git_nothing_is_named_and_a_broken_one_is_no_answer(
    tmp_path: Path, repository: Path
) -> None:
    commit(repository, HASHES[0])
    for path in (repository / ".git" / "objects").glob("??/*"):
        path.chmod(0o644)
        path.write_bytes(b"")
    with pytest.raises(UserError, match="git could not list what is committed"):
        lineage_cache.in_git(repository, tips_only=False)
    plain = tmp_path / "plain"
    plain.mkdir()
    (repository / ".git").rename(tmp_path / "no git")
    assert lineage_cache.in_git(plain, tips_only=False) == set()


@pytest.mark.parametrize(
    "changes",
    [
        {"PATH": ""},
        {
            "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        },
    ],
    ids=["no git", "another's folder"],
)
def test_a_git_that_does_not_answer_is_no_answer(
    repository: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    commit(repository, HASHES[0])
    below = repository / "below"
    below.mkdir()
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    for folder in (repository, below):
        with pytest.raises(UserError, match="but git does not answer there"):
            lineage_cache.in_git(folder, tips_only=False)


def test_the_callers_environment_leads_to_no_other_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, HASHES[0])
    monkeypatch.setenv("GIT_DIR", str(repository / "elsewhere"))  # a hook, or dotfiles in git
    assert lineage_cache.in_git(repository, tips_only=False) == {HASHES[0]}


def test_the_workspace_and_experiments_that_run(tmp_path: Path) -> None:
    for number, name in enumerate(
        ("dvc.lock", "data/incoming/lab.dvc", ".dvc/tmp/exps/x/dvc.lock", ".dvc/cache/dvc.lock")
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(HASHES[number])
    assert lineage_cache.in_workspace(tmp_path) == set(HASHES[:3])


def test_a_folder_brings_its_files(tmp_path: Path) -> None:
    folder, inside, other = f"{HASHES[0]}.dir", HASHES[1], HASHES[2]
    files = tmp_path / "files" / "md5"
    for name in (folder, inside, other):
        (files / name[:2]).mkdir(parents=True, exist_ok=True)
        (files / name[:2] / name[2:]).write_text(json.dumps([{"md5": inside, "relpath": "a"}]))
    (files / folder[:2] / "tmp.being-written").touch()
    (tmp_path / "runs" / "aa" / "bb").mkdir(parents=True)
    (tmp_path / "runs" / "aa" / "bb" / "cc").write_text(f"outs: {other}")
    cache = lineage_cache.read(tmp_path)
    assert set(cache.objects) == {folder, inside, other}
    assert lineage_cache.with_contents(cache, {folder}) == {folder, inside}
    assert list(cache.run_entries.values()) == [frozenset({other})]


def test_it_waits_for_no_dvc_that_is_at_work(repository: Path) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=repository, check=True)
    tmp = repository / ".dvc" / "tmp"
    tmp.mkdir(exist_ok=True)
    gone = {"write": {"pid": 2**22 + 1, "cmd": "repro"}}
    ours = {"write": {"pid": os.getpid(), "cmd": "repro"}}  # as the only process of a container
    (tmp / "rwlock").write_text(json.dumps({"a": gone, "b": ours}))
    first, second = lineage_cache.alone(repository), lineage_cache.alone(repository)
    with first, pytest.raises(UserError, match="DVC is at work"), second:
        pass  # what a process that is gone had written did not matter
    (tmp / "exps" / "x").mkdir(parents=True)
    (tmp / "exps" / "x" / "rwlock").write_text(
        json.dumps({"a": {"read": [{"pid": os.getppid(), "cmd": "dvc repro"}]}})
    )
    words = (
        rf"process {os.getppid()}\).* is no `dvc`.* remove {tmp / 'exps' / 'x' / 'rwlock'} first"
    )
    with pytest.raises(UserError, match=words), lineage_cache.alone(repository):
        pass
