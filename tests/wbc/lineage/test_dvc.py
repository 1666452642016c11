"""wbc.lineage.dvc: recorded data, a stage anew, a checkout; with real DVC on small files."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from dvc.config import Config
from ruamel.yaml import YAML

from wbc.errors import UserError
from wbc.lineage import dvc as lineage_dvc
from wbc.lineage import state as lineage

DVC_YAML = """stages:
  draw:
    cmd: mkdir -p raw/sub && cp seed.txt raw/a && echo b > raw/sub/b
    deps: [seed.txt]
    outs: [raw]
  count:
    cmd: python -c "import os; open('count.txt', 'w').write(os.environ.get('WORD', 'none'))"
    deps: [raw]
    outs: [count.txt]
"""


def dvc(directory: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=directory, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    dvc(root, "init", "--no-scm", "--quiet")
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "seed.txt").write_text("1\n")
    dvc(root, "repro", "--quiet")
    return root


@pytest.fixture
def repository(made: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-r", str(made), str(tmp_path / "repository")], check=True)
    return tmp_path / "repository"


def md5_of(repository: Path, path: str) -> str:
    return lineage.data_hashes(repository)[path]


def test_recorded_data_come_out_of_the_cache_unlinked(repository: Path, tmp_path: Path) -> None:
    cache = lineage_dvc.cache_dir(repository)
    lineage_dvc.bring(cache, md5_of(repository, "raw"), tmp_path / "raw")
    lineage_dvc.bring(cache, md5_of(repository, "count.txt"), tmp_path / "x" / "count.txt")

    assert (tmp_path / "raw" / "a").read_text() == "1\n"
    assert (tmp_path / "raw" / "sub" / "b").stat().st_nlink == 1
    assert (tmp_path / "x" / "count.txt").read_text() == "none"
    assert lineage_dvc.changed_in(cache, md5_of(repository, "raw"), tmp_path / "raw") == []
    (tmp_path / "raw" / "a").write_text("2\n")
    (tmp_path / "raw" / "new").write_text("3\n")
    found = lineage_dvc.changed_in(cache, md5_of(repository, "raw"), tmp_path / "raw")
    assert found == ["a", "new"]


def test_a_damaged_object_is_told_from_a_missing_one(repository: Path, tmp_path: Path) -> None:
    cache, md5 = lineage_dvc.cache_dir(repository), md5_of(repository, "raw")
    [listed] = [path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == b"b\n"]
    listed.chmod(0o644)
    listed.write_bytes(b"c\n")
    with pytest.raises(lineage_dvc.DamagedError, match="is damaged"):
        lineage_dvc.bring(cache, md5, tmp_path / "damaged")
    listed.unlink()
    with pytest.raises(lineage_dvc.LostError, match="is not in DVC's cache"):
        lineage_dvc.bring(cache, md5, tmp_path / "missing")


def put(cache: Path, content: bytes, ending: str = "") -> str:
    """Put an object into a cache as DVC does; returns its hash."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = cache / "files" / "md5" / md5[:2] / f"{md5[2:]}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5 + ending


@pytest.mark.parametrize(
    "names",
    [["../../escaped"], ["a", "/escaped"], ["a/../../b"], [""], ["."], ["a\0"], ["a", "a/b"]],
)
def test_a_folder_whose_list_leads_out_of_it_is_damaged(tmp_path: Path, names: list[str]) -> None:
    """Its hash is right: whoever may write to a shared cache can make one."""
    cache, file = tmp_path / "cache", put(tmp_path / "cache", b"1")
    listed = [{"md5": file, "relpath": name.replace("/esc", f"{tmp_path}/esc")} for name in names]
    md5 = put(cache, json.dumps(listed).encode(), ".dir")
    with pytest.raises(lineage_dvc.DamagedError, match=r"is damaged: it lists '.*no place in the"):
        lineage_dvc.bring(cache, md5, tmp_path / "a" / "raw")
    assert [
        path for path in tmp_path.rglob("*") if path.is_file() and cache not in path.parents
    ] == []
    assert lineage_dvc.changed_in(cache, md5, tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [b'{"x":', b'[{"md5": "00"}]', b"7", b"[7]", b"[" * 99_999, b"\xff",
     b'[{"md5":7,"relpath":"a"}]', b'[{"md5":"../../x","relpath":"a"}]',
     b'[{"md5":"","relpath":7}]'],
)  # fmt: skip
def test_what_is_no_list_of_files_is_a_damaged_object(tmp_path: Path, content: bytes) -> None:
    md5 = put(tmp_path, content, ".dir")
    with pytest.raises(lineage_dvc.DamagedError, match=f"{md5} in DVC's cache .* is damaged"):
        lineage_dvc.bring(tmp_path, md5, tmp_path / "raw")


def test_a_stage_runs_by_itself_and_reaches_no_cache(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the run cache and the cache have its output, as they do here."""
    cache = lineage_dvc.cache_dir(repository)
    # A shared cache that is committed must not be used either.
    (repository / ".dvc" / "config").write_text(
        f"[core]\n no_scm = true\n[cache]\n dir = {cache}\n"
    )
    before = sorted(path for path in cache.rglob("*") if path.is_file())
    (repository / "count.txt").unlink()
    monkeypatch.setenv("PYTHONPATH", "leaks")
    monkeypatch.setenv("DVC_ROOT", "leaks")
    lineage_dvc.prepare(repository)

    ran = lineage_dvc.run_stage(repository, "count", tmp_path / "log", {"WORD": "anew"})

    assert ran and (repository / "count.txt").read_text() == "anew"
    assert "Running stage 'count'" in (tmp_path / "log").read_text()
    assert list(lineage.data_hashes(repository)) == ["count.txt"]
    assert sorted(path for path in cache.rglob("*") if path.is_file()) == before


def test_a_copy_keeps_to_itself_whatever_its_path_is_called(tmp_path: Path) -> None:
    own = tmp_path / "a#b, c" / ".dvc"
    own.mkdir(parents=True)
    (own / "config").write_text("[cache]\n    dir = /elsewhere\n")
    lineage_dvc.prepare(own.parent)
    settings = Config(str(own))
    assert settings["cache"]["dir"] == str(own / "cache")
    assert settings["core"]["site_cache_dir"] == str(own / "tmp" / "site")


def test_a_stage_that_fails_says_so(repository: Path, tmp_path: Path) -> None:
    (repository / "dvc.yaml").write_text("stages: {count: {cmd: echo why; false}}\n")
    assert not lineage_dvc.run_stage(repository, "count", tmp_path / "log", {})
    assert "why" in (tmp_path / "log").read_text()


def test_whoever_is_interrupted_leaves_no_process(repository: Path, tmp_path: Path) -> None:
    (repository / "dvc.yaml").write_text("stages: {count: {cmd: 'echo $$ > pid; exec sleep 60'}}\n")
    script = (
        "import sys; from pathlib import Path\n"
        "from wbc import processes; from wbc.lineage import dvc\n"
        "with processes.signals_raise():\n"
        "    dvc.run_stage(Path(sys.argv[1]), 'count', Path(sys.argv[2]), {})\n"
    )
    words = [sys.executable, "-c", script, str(repository), str(tmp_path / "log")]
    root = Path(__file__).parents[3]
    child = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(root)})
    pid = repository / "pid"
    _wait_for(lambda: pid.is_file() and pid.read_text().strip())

    child.terminate()

    assert child.wait(30) == 128 + 15
    _wait_for(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists())


def _wait_for(happened: Any) -> None:
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until
        threading.Event().wait(0.05)


def test_a_checkout_restores_and_refuses_to_lose(repository: Path) -> None:
    (repository / "raw" / "a").unlink()
    assert lineage_dvc.checkout(repository) == []
    assert (repository / "raw" / "a").read_text() == "1\n"

    (repository / "raw" / "a").unlink()
    (repository / "raw" / "mine").write_text("precious")
    assert lineage_dvc.checkout(repository) == ["raw/mine"]
    assert not (repository / "raw" / "a").exists()


def test_what_the_cache_lacks_is_no_error_of_a_checkout(repository: Path) -> None:
    subprocess.run(["rm", "-rf", str(repository / "raw"), str(repository / ".dvc" / "cache")])
    assert lineage_dvc.checkout(repository) == []
    assert not (repository / "raw").exists()


def test_without_dvc_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no DVC repository"):
        lineage_dvc.cache_dir(tmp_path)


def _lock(**stages: Any) -> bytes:
    import io

    text = io.StringIO()
    YAML().dump({"schema": "2.0", "stages": stages}, text)
    return text.getvalue().encode()


def _stage(deps: dict[str, str], outs: dict[str, str]) -> dict[str, Any]:
    def listed(of: dict[str, str]) -> list[dict[str, str]]:
        return [{"path": path, "hash": "md5", "md5": md5} for path, md5 in of.items()]

    return {"cmd": "x", "deps": listed(deps), "outs": listed(outs)}


def test_stages_that_ran_on_other_data_are_left_out() -> None:
    lock = _lock(
        train=_stage({"pixels": "1", "train.py": "2"}, {"model": "3"}),
        evaluate=_stage({"model": "0"}, {"reports/a": "4"}),
        page=_stage({"reports/a": "4"}, {"page": "5"}),
    )
    kept = lineage.stages_of(lineage_dvc.without_contradictions(lock))
    assert list(kept) == ["train"]


def test_a_lock_without_contradictions_stays_as_it_is() -> None:
    lock = _lock(
        train=_stage({"pixels": "1"}, {"model": "3"}), evaluate=_stage({"model": "3"}, {"r": "4"})
    )
    assert lineage_dvc.without_contradictions(lock) == lock
    assert lineage_dvc.without_contradictions(b"schema: '2.0'\nstages: {}\n")


def test_of_a_folder_with_outputs_of_others_nothing_is_known() -> None:
    lock = _lock(
        train=_stage({}, {"models/a": "3"}), compare=_stage({"models": "9.dir"}, {"table": "4"})
    )
    assert list(lineage.stages_of(lineage_dvc.without_contradictions(lock))) == ["train"]
