"""wbc.lineage.state: what git and DVC say about a directory."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from wbc.lineage import state as lineage


def _git(directory: Path, *arguments: str, text: bytes = b"") -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=directory, input=text, capture_output=True, check=True
    )
    return done.stdout.decode()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    _git(root, "init", "-q")
    (root / ".gitignore").write_text("/data\n")
    (root / "params.yaml").write_text("seed: 1\n")
    (root / "dvc.lock").write_text("stages: {}\n")
    _git(root, "add", ".")
    _git(root, "commit", "-qm", "first")
    return root


def test_a_clean_repository_has_a_commit_and_no_patch(repository: Path) -> None:
    found = lineage.read(repository)

    assert found.commit == _git(repository, "rev-parse", "HEAD").strip()
    assert (found.dirty, found.patch, found.patch_note) == (False, b"", "")


def test_dvc_lock_alone_makes_nothing_dirty(repository: Path) -> None:
    (repository / "dvc.lock").write_text("stages: {train: {}}\n")
    assert not lineage.read(repository).dirty

    (repository / "params.yaml").write_text("seed: 2\n")
    assert b"dvc.lock" not in lineage.read(repository).patch


def test_a_digit_changed_within_a_second_is_dirty(repository: Path) -> None:
    """As `dvc exp run --temp -S seed=2` does it; git's own index would call this clean."""
    params = repository / "params.yaml"
    os.utime(params, (1_000_000_000, 1_000_000_000))
    _git(repository, "config", "core.trustctime", "false")
    _git(repository, "add", "params.yaml")
    params.write_text("seed: 2\n")
    os.utime(params, (1_000_000_000, 1_000_000_000))
    assert _git(repository, "status", "--porcelain") == ""

    found = lineage.read(repository)

    assert found.dirty
    assert b"+seed: 2" in found.patch


def test_the_patch_brings_every_change_back(repository: Path, tmp_path: Path) -> None:
    _git(tmp_path, "clone", "-q", str(repository), "clone")
    (repository / "params.yaml").write_text("seed: 2\n")
    (repository / "neu und fremd *.py").write_text("x = 1\n")
    (repository / "picture.bin").write_bytes(bytes(range(256)))
    (repository / "staged.py").write_text("y = 1\n")
    _git(repository, "add", "staged.py")
    (repository / "data").mkdir()
    (repository / "data" / "ignored.txt").write_text("no")
    before = _git(repository, "status", "--porcelain")

    found = lineage.read(repository)

    assert found.dirty
    assert _git(repository, "status", "--porcelain") == before  # the user's index is untouched
    clone = tmp_path / "clone"
    _git(clone, "apply", text=found.patch)
    for name in ("params.yaml", "neu und fremd *.py", "picture.bin", "staged.py"):
        assert (clone / name).read_bytes() == (repository / name).read_bytes(), name
    assert not (clone / "data").exists()


def test_a_patch_can_be_applied_however_the_user_likes_to_see_it(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "sub").mkdir()
    (repository / "sub" / "params.yaml").write_text("seed: 1\nepochs: 2\nsize: 3\n")
    _git(repository, "init", "-q", "sub/other")
    _git(repository / "sub" / "other", "commit", "-qm", "a submodule", "--allow-empty")
    (repository / ".gitattributes").write_text("*.yaml diff=shout\n")
    _git(repository, "add", ".")
    _git(repository, "commit", "-qm", "second")
    _git(tmp_path, "clone", "-q", str(repository), "clone")
    for setting in (
        *("diff.shout.textconv=tr a-z A-Z <", "diff.context=0", "diff.noprefix=true"),
        *("diff.relative=true", "diff.mnemonicPrefix=true", "diff.submodule=log"),
    ):
        _git(repository, "config", *setting.split("=", 1))
    (repository / "sub" / "params.yaml").write_text("seed: 1\nepochs: 9\nsize: 3\n")
    _git(repository / "sub" / "other", "commit", "-qm", "changed", "--allow-empty")

    found = lineage.read(repository / "sub")

    _git(tmp_path / "clone", "apply", text=found.patch)
    assert "epochs: 9\n" in (tmp_path / "clone" / "sub" / "params.yaml").read_text()
    assert b"+Subproject commit" in found.patch


def test_a_new_file_that_is_called_as_secrets_are_is_named_and_not_copied(
    repository: Path,
) -> None:
    names = (".env", "keys/kaggle.json", "my_Password.txt", "server.pem", "id_ed25519")
    for name in names:
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("planted-secret")
    (repository / "small.py").write_text("x = 1\n")
    (repository / "keys" / "environment.py").write_text("x = 1\n")

    found = lineage.read(repository)

    assert b"planted-secret" not in found.patch
    assert b"small.py" in found.patch and b"keys/environment.py" in found.patch
    assert found.patch_note == f"left out as secret: {', '.join(sorted(names))}"


def test_a_large_new_file_is_named_and_not_copied(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "MAX_UNTRACKED_BYTES", 10)
    (repository / "huge.bin").write_bytes(b"x" * 11)
    (repository / "small.py").write_text("x = 1\n")

    found = lineage.read(repository)

    assert found.patch_note == "too large for the patch: huge.bin"
    assert b"huge.bin" not in found.patch
    assert b"small.py" in found.patch


def test_many_new_files_are_named_and_not_copied(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures in a folder that nobody told git to ignore."""
    monkeypatch.setattr(lineage, "MAX_PATCH_BYTES", 20_000)
    (repository / "cells").mkdir()
    for number in range(40):
        (repository / "cells" / f"{number:02d}.png").write_bytes(os.urandom(1500))
    (repository / "new.py").write_text("x = 1\n")
    (repository / "params.yaml").write_text("seed: 2\n")

    found = lineage.read(repository)

    assert len(found.patch) < 20_000 and b"+seed: 2" in found.patch
    assert b"+x = 1" in found.patch and found.patch.count(b"new file mode") == 1 + 4
    assert found.patch_note.startswith("too large for the patch: cells/04.png, cells/05.png, ")
    assert found.patch_note.endswith("cells/23.png and 16 more")


def test_a_huge_patch_is_cut_and_says_so(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "MAX_PATCH_BYTES", 50)
    (repository / "params.yaml").write_text("seed: 2\n" * 100)

    found = lineage.read(repository)

    assert len(found.patch) == 50
    assert found.patch_note.startswith("cut at 50 of ")


def test_a_subdirectory_sees_its_repository(repository: Path) -> None:
    (repository / "sub").mkdir()
    assert lineage.read(repository / "sub").commit == lineage.read(repository).commit


def test_without_git_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = lineage.read(tmp_path)
    assert (found.commit, found.dirty, found.patch) == ("", False, b"")

    monkeypatch.setenv("PATH", "")
    assert lineage.read(tmp_path).commit == ""
    assert caplog.messages == []


def test_a_git_that_does_not_answer_is_said_once(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git refuses another user's folder
    for scope in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"GIT_CONFIG_{scope}", os.devnull)

    assert [lineage.read(repository).commit for _ in range(2)] == ["", ""]

    [said] = caplog.messages
    assert "No commit is recorded" in said and "git config --global --add safe.directory" in said


def test_the_commit_is_the_directorys_and_not_the_environments(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository / "elsewhere"))  # a hook, or dotfiles in git
    assert lineage.read(repository).commit


def test_the_experiment_is_dvcs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "able-newt")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    found = lineage.read(repository)
    assert (found.experiment, found.baseline) == ("able-newt", "abc")


def test_hashes_come_from_dvc_lock(tmp_path: Path) -> None:
    assert lineage.data_hashes(tmp_path) == {}
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  download:\n    cmd: x\n    outs:\n"
        "    - path: data/raw\n      hash: md5\n      md5: 0af.dir\n      size: 3\n"
        "  check:\n    cmd: y\n"
    )
    assert lineage.data_hashes(tmp_path) == {"data/raw": "0af.dir"}


def test_parameters_come_from_the_stages_of_the_network(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(
        "stages:\n"
        "  split: {params: {params.yaml: {split: {seed: 3}}}}\n"
        "  train@resnet18: {params: {params.yaml: {seed: 1, train: {epochs: 5}}}}\n"
        "  train@googlenet: {params: {params.yaml: {train: {epochs: 9}, model.dropout: 0.2}}}\n"
    )
    assert lineage.stage_params(tmp_path, "googlenet") == {
        "split": {"seed": 3},
        "train": {"epochs": 9},
        "model.dropout": 0.2,
    }
    assert lineage.stage_params(tmp_path / "nowhere", "googlenet") == {}


def test_a_module_changed_after_its_stage_ran_is_named(tmp_path: Path) -> None:
    (tmp_path / "wbc").mkdir()
    for name in ("imaging", "training", "augment"):
        (tmp_path / "wbc" / f"{name}.py").write_text(name)
    deps = "{deps: [{path: wbc/%s.py, md5: %s}, {path: data/raw, md5: x.dir}]}"
    stages = {
        "preprocess": deps % ("imaging", hashlib.md5(b"imaging").hexdigest()),
        "train@resnet18": deps % ("training", hashlib.md5(b"as it was").hexdigest()),
        "train@googlenet": deps % ("augment", hashlib.md5(b"other").hexdigest()),
    }
    text = "".join(f"  {name}: {stage}\n" for name, stage in stages.items())
    (tmp_path / "dvc.lock").write_text(f"stages:\n{text}")
    assert lineage.changed_modules(tmp_path, "resnet18") == ["wbc/training.py"]
    (tmp_path / "wbc" / "imaging.py").unlink()
    assert lineage.changed_modules(tmp_path, "resnet18") == ["wbc/imaging.py", "wbc/training.py"]
    assert lineage.changed_modules(tmp_path / "nowhere", "resnet18") == []


def test_who_acts_is_gits_user_or_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "none"))
    monkeypatch.setenv("LOGNAME", "ada")
    assert lineage.user_name(tmp_path) == "ada"  # no repository
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert lineage.user_name(tmp_path) == "ada"
    subprocess.run(["git", "config", "user.name", "Änne Lab"], cwd=tmp_path, check=True)
    assert lineage.user_name(tmp_path) == "Änne Lab"
