"""wbc.registry.rebuild: what is brought, run and compared, in real copies of a small repository.

DVC itself, which takes seconds for a stage, is in tests/pipeline/test_verify.py.
"""

import hashlib
import json
import logging
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wbc import processes
from wbc.errors import UserError
from wbc.lineage import dvc as lineage_dvc
from wbc.registry import rebuild
from wbc.registry.origin import Origin

PARAMETERS = "seed: 1\ntrain:\n  epochs: 2\n  seeds: []\n"
CARD = {"parameters": {"seed": 1, "train.epochs": 2}}
CODE = "wbc/train.py"
START = "models/resnet18/start"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def stored(cache: Path, content: bytes, ending: str = "") -> str:
    name = md5(content)
    path = cache / "files" / "md5" / name[:2] / f"{name[2:]}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"{name}{ending}"


def listed(files: Mapping[str, bytes]) -> bytes:
    return json.dumps(
        [{"md5": md5(text), "relpath": name} for name, text in files.items()]
    ).encode()


def lock_of(outs: Mapping[str, str], code: bytes = b"train\n") -> bytes:
    """Of four stages with these outputs; train ran with this code."""
    makers = {"data/raw": "download", "data/split": "split", "data/pixels": "preprocess"}
    stages = {
        makers.get(path, f"weights@{path}"): {"cmd": "x", "outs": [{"path": path, "md5": name}]}
        for path, name in outs.items()
    }
    stages["train@resnet18"] = {"cmd": "x", "deps": [{"path": CODE, "md5": md5(code)}]}
    return json.dumps({"schema": "2.0", "stages": stages}).encode()  # JSON is YAML


def git(repository: Path, *words: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@localhost")
    done = subprocess.run(
        ["git", *who, *words], cwd=repository, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


class Repository:
    """Its commit, its cache, and the stages that were run in copies of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.cache = path, path / "cache"
        for name, text in (
            ("params.yaml", PARAMETERS), (CODE, "train\n"), (".dvc/config", ""),
            (".gitignore", "/cache\n/scratch\n"),
        ):  # fmt: skip
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
        git(path, "init", "-q")
        self.commit()
        folder = listed({"a.png": b"a", "lab/b.png": b"b"})
        for content in (b"a", b"b"):
            stored(self.cache, content)
        self.outs = {
            "data/raw": stored(self.cache, folder, ".dir"),
            "data/split": md5(b"split") + ".dir",
            "data/pixels": stored(self.cache, listed({"index.csv": b"1", "x": b"x"}), ".dir"),
            START: stored(self.cache, b"weights"),
        }
        self.ran: list[str] = []
        self.makes: dict[str, str] = {}  # outputs that are not as recorded
        self.fails = ""
        self.words = "error: the disk is full\nERROR: failed to reproduce 'x'\n"

    def commit(self) -> None:
        git(self.path, "add", ".")
        git(self.path, "commit", "-qm", "x", "--allow-empty")

    def origin(self, **changes: Any) -> Origin:
        known: dict[str, Any] = {
            "version": "3", "name": "resnet18-abc", "architecture": "resnet18", "model_sha256": "",
            "commit": git(self.path, "rev-parse", "HEAD"), "patch": b"", "patch_note": "",
            "lock": lock_of(self.outs), "tags": {}, "run_id": "",
        }  # fmt: skip
        return Origin(**(known | changes))

    def run_stage(
        self, copy: Path, stage: str, log_path: Path, variables: Mapping[str, str]
    ) -> bool:
        """In the place of `dvc repro`."""
        assert not (copy / "dvc.lock").is_file() or self.ran  # no recorded output to be restored
        assert variables["MLFLOW_TRACKING_URI"].startswith(f"sqlite:///{log_path.parent}/owner/")
        self.ran.append(stage)
        with log_path.open("a") as log:
            log.write(self.words)
        (copy / "data/pixels").mkdir(parents=True, exist_ok=True)
        (copy / "data/pixels/index.csv").write_bytes(b"2")
        (copy / "data/pixels/x").write_bytes(b"x")
        (copy / "dvc.lock").write_bytes(lock_of(self.outs | self.makes))
        return stage != self.fails


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "repository")
    monkeypatch.setattr(lineage_dvc, "run_stage", made.run_stage)
    monkeypatch.setattr(lineage_dvc, "cache_dir", lambda path: path / "cache")
    return made


def make(repository: Repository, card: dict[str, Any] | None = None, **changes: Any) -> Any:
    origin = repository.origin(**changes)
    with rebuild.work_folder(repository.path) as folder:
        made = rebuild.make_model(repository.path, origin, card or CARD, folder)
        rebuild.evaluate(made.copy, origin, folder) if not made.data else None
        files = {
            path.relative_to(made.copy).as_posix(): path.read_bytes()
            for path in made.copy.rglob("*")
            if path.is_file() and ".git" not in path.parts
        }
    assert not folder.exists()
    return made, files


def test_the_stages_run_from_the_recorded_data_on(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made, files = make(repository)
    assert repository.ran == ["split", "preprocess", "train@resnet18", "evaluate@resnet18"]
    assert (made.contradictions, made.data, made.changed_code) == ((), (), ())
    assert files["data/raw/a.png"] == b"a" and files["data/raw/lab/b.png"] == b"b"
    assert files[START] == b"weights"
    said = [record.getMessage() for record in caplog.records]
    assert "  split: 0 s, data/split as recorded" in said
    assert "  preprocess: 0 s, data/pixels as recorded" in said
    assert "  train@resnet18: 0 s" in said


def test_other_data_are_named_and_nothing_is_trained_on_them(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    repository.makes = {"data/split": "5.dir", "data/pixels": "6.dir"}
    made, _ = make(repository, lock=lock_of(repository.outs, b"older\n"))
    assert repository.ran == ["split", "preprocess"]
    split, pixels = made.data
    assert split == f"data/split: md5 {repository.outs['data/split']} recorded, 5.dir rebuilt"
    recorded = repository.outs["data/pixels"]
    assert pixels == (
        f"data/pixels: md5 {recorded} recorded, 6.dir rebuilt (first in index.csv, 1 files in all)"
    )
    assert made.changed_code == (CODE,) and made.contradictions == ()
    assert "  split: 0 s, data/split differs" in [r.getMessage() for r in caplog.records]


def test_another_split_alone_is_trained_on(repository: Repository) -> None:
    repository.makes = {"data/split": "5.dir"}
    made, _ = make(repository)
    assert len(made.data) == 1 and repository.ran[-1] == "train@resnet18"


def test_other_parameters_at_the_commit_decide_before_anything_runs(
    repository: Repository,
) -> None:
    origin = repository.origin(lock=lock_of(repository.outs, b"older\n"))
    card = {"parameters": {"seed": 1, "train.epochs": 3, "gone": 1}}
    with rebuild.work_folder(repository.path) as folder:
        made = rebuild.make_model(repository.path, origin, card, folder)
    where = f"params.yaml of {origin.commit[:12]}"
    assert made.copy == folder / "repository"
    assert made.contradictions == (f"train.epochs: 3 recorded, 2 in {where}",)
    assert made.changed_code == (CODE,) and repository.ran == []


def test_of_several_seeds_only_the_models_is_left(repository: Repository) -> None:
    (repository.path / "params.yaml").write_text(
        "seed: 7  # kept\ntrain:\n  epochs: 2\n  seeds: [1, 2]\n"
    )
    repository.commit()
    made, files = make(repository)
    assert made.contradictions == ()
    assert files["params.yaml"] == b"seed: 1  # kept\ntrain:\n  epochs: 2\n  seeds: []\n"


def test_the_patch_is_applied_or_said_not_to_fit(repository: Repository) -> None:
    (repository.path / CODE).write_text("changed\n")
    patch = subprocess.run(["git", "diff"], cwd=repository.path, capture_output=True).stdout
    git(repository.path, "checkout", "-q", ".")
    _, files = make(repository, patch=patch)
    assert files[CODE] == b"changed\n"
    (repository.path / CODE).write_text("another\n")
    repository.commit()
    with pytest.raises(UserError, match=r"of version 3 do not fit its commit \w{12} \(.*patch.*\)"):
        make(repository, patch=patch)


def test_damaged_data_are_a_contradiction(repository: Repository) -> None:
    name = md5(b"b")
    (repository.cache / "files" / "md5" / name[:2] / name[2:]).write_bytes(b"damaged")
    origin = repository.origin(lock=lock_of(repository.outs, b"older\n"))
    with rebuild.work_folder(repository.path) as folder:
        made = rebuild.make_model(repository.path, origin, CARD, folder)
    (words,) = made.contradictions
    assert made.copy == folder / "repository"
    assert words.startswith("data/raw: data hash differs: ") and "is damaged" in words
    assert repository.ran == []


def test_lost_data_are_one_sentence(repository: Repository) -> None:
    name = repository.outs[START]
    (repository.cache / "files" / "md5" / name[:2] / name[2:]).unlink()
    with pytest.raises(UserError) as error:
        make(repository)
    assert str(error.value).startswith(f"{START} of version 3 cannot be had: {name} is not in DVC")
    assert "`python -m wbc checkout 3` and `dvc pull`" in str(error.value)
    assert repository.ran == []


@pytest.mark.parametrize("path", ["data/raw", START])
def test_a_lock_that_names_no_inputs_is_one_sentence(repository: Repository, path: str) -> None:
    del repository.outs[path]
    with pytest.raises(UserError, match=f"dvc.lock of version 3 names no {path}, from which it"):
        make(repository)


@pytest.mark.parametrize("stage", ["split", "preprocess", "train@resnet18", "evaluate@resnet18"])
def test_a_stage_that_fails_ends_it_and_its_log_is_kept(repository: Repository, stage: str) -> None:
    repository.fails = stage
    with pytest.raises(UserError) as error:
        make(repository)
    kept = repository.path / "scratch" / "verify-3.log"
    assert str(error.value) == (
        f"Version 3 could not be made again, because {stage} failed (the disk is full); {kept} has"
        " all it printed."
    )
    assert kept.read_text().startswith("error: the disk is full") and repository.ran[-1] == stage


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("a\nerror: first\nerror: last\nb\n", "last"),
        ("a\nb\nERROR: failed to reproduce 'x': y\n", "b"),
        ("ERROR: failed to reproduce 'x': y\n", "it printed nothing"),
        ("  \n", "it printed nothing"),
        ("x" * 400, "x" * 300),
    ],
)
def test_the_reason_is_the_sentence_a_stage_ended_with(
    tmp_path: Path, printed: str, reason: str
) -> None:
    (tmp_path / "log").write_bytes(printed.encode() + b"")
    assert rebuild._reason(tmp_path / "log") == reason


def test_a_log_of_other_bytes_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff broken")
    assert rebuild._reason(tmp_path / "log").endswith(" broken")


def test_folders_of_the_dead_go_and_those_of_the_living_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "is_dead", lambda name: name == "dead")
    for name in ("dead", "living"):
        (tmp_path / "scratch" / f"verify-{name}").mkdir(parents=True)
        (tmp_path / "scratch" / f"verify-{name}" / "owner").write_text(name)
    with rebuild.work_folder(tmp_path) as folder:
        left = {path.name for path in (tmp_path / "scratch").iterdir()}
        assert left == {"verify-living", folder.name}
        assert folder.name.startswith("verify-")
        assert (folder / "owner").read_text() == processes.own_name()
    with pytest.raises(ZeroDivisionError), rebuild.work_folder(tmp_path):
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["verify-living"]
