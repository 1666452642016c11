"""No pickle is loaded, no name is run: what comes from elsewhere stays data.

Other guards have tests beside what they guard; docs/security.md lists them.
"""

import ast
import io
import itertools
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from ruamel.yaml import YAML

from tests.mlflow_home import ARCHITECTURE, write_model
from tests.wbc import pictures
from tests.wbc.reviewing.cases import queued, write_out
from wbc import (
    cells,
    errors,
    model,
    pixels,
    reference,
    sources,
    weight_files,
    weights,
)
from wbc.backbones import Network
from wbc.checkpoints import WholeFiles
from wbc.params import FolderSource
from wbc.registry import clean_process, packaging
from wbc.reviewing.queue import Run
from wbc.spreadsheets import safe_text

ROOT: Final = Path(__file__).resolve().parents[1]
TABLE_NAMES: Final = {"table", "column", "row.table", "row.column"}
SOURCES: Final = [path for top in ("wbc", "stages") for path in sorted((ROOT / top).rglob("*.py"))]
NASTY: Final = "<img src=x onerror=alert(1)>\"'&.png"
FORMULAS: Final = ("=HYPERLINK(1)", "+1+cmd|' /C calc'!A0", "-2", "@SUM(1)", "\t=1", "＝1")
EVERY_FORMULA: Final = re.compile(r"[\s]*[=+\-@＝＋－＠]")


class Harmful:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """Where the trap would leave it; the trap is tried first."""
    path = tmp_path / "pickle-was-loaded"
    pickle.loads(pickle.dumps(Harmful(path)))
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


def traps(marker: Path) -> list[bytes]:
    """A pickle by itself, in torch's zip and in torch's old layout, and in a NumPy array."""
    found = [pickle.dumps(Harmful(marker))]
    for new in (True, False):
        buffer = io.BytesIO()
        torch.save({"x": Harmful(marker)}, buffer, _use_new_zipfile_serialization=new)
        found.append(buffer.getvalue())
    buffer = io.BytesIO()
    np.save(buffer, np.array([Harmful(marker)], dtype=object), allow_pickle=True)
    return [*found, buffer.getvalue()]


@pytest.mark.parametrize(
    "name",
    [f"{ARCHITECTURE}.pth", f"{ARCHITECTURE}.safetensors", weights.IMAGENET_FILES[ARCHITECTURE]],
)
def test_weights_that_were_brought_are_never_unpickled(
    name: str, tmp_path: Path, marker: Path
) -> None:
    (tmp_path / "data" / "weights").mkdir(parents=True)
    for trap in traps(marker):
        (tmp_path / "data" / "weights" / name).write_bytes(trap)
        for choice in ("auto", f"data/weights/{name}"):
            with pytest.raises(errors.UserError, match="cannot be read as weights"):
                weights.resolve(ARCHITECTURE, choice, tmp_path, tmp_path / "out")


def test_a_download_in_the_cache_is_never_unpickled(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one with the digits of torchvision's own file."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for trap in traps(marker):
        path = folder / "planted.pth"
        path.write_bytes(trap)
        name = f"planted-{weights.sha256_of(path)[:8]}.pth"
        monkeypatch.setitem(weights.IMAGENET_FILES, ARCHITECTURE, name)
        path.rename(folder / name)
        with pytest.raises(errors.UserError, match="cannot be read as weights"):
            weights.resolve(ARCHITECTURE, "imagenet", tmp_path, tmp_path / "out")


INDEX = (
    "path,sha256,label,group,source,split,shard,row,located\n"
    "a.png,0,neutrophil,,sample,train,0,0,True\n"
)


def test_files_of_a_model_and_of_pixels_are_never_unpickled(tmp_path: Path, marker: Path) -> None:
    folder, _ = write_model(tmp_path)
    for trap in traps(marker):
        (folder / model.WEIGHTS_FILE).write_bytes(trap)
        (folder / reference.REFERENCE_FILE).write_bytes(trap)
        (folder / "start.safetensors").write_bytes(trap)
        with pytest.raises(errors.UserError, match="no readable model"):
            model.load(folder)
        with pytest.raises(errors.UserError, match="no readable reference"):
            reference.read(folder / reference.REFERENCE_FILE)
        with pytest.raises(Exception, match=r"(?i)header"):
            weight_files.load_into(Network(ARCHITECTURE, 0.0, True), folder)
        (folder / "shard-00000.npy").write_bytes(trap)
        (folder / "store.json").write_text('{"size": 4, "num_cells": 1, "sha256": ""}')
        (folder / "index.csv").write_text(INDEX)
        with pytest.raises(
            errors.UserError, match=r"shard-00000\.npy should be a shard of squares"
        ):
            pixels.open_store(folder)


def test_an_onnx_file_is_never_unpickled(tmp_path: Path, marker: Path) -> None:
    pytest.importorskip("onnxruntime")
    from wbc.exporting import onnx_runtime

    for trap in traps(marker):
        with pytest.raises(errors.UserError, match="no file that `python -m wbc export` made"):
            onnx_runtime.classifier_of(trap, "a.onnx")


def test_a_pickle_beside_a_versions_files_is_not_loaded(tmp_path: Path, marker: Path) -> None:
    """MLflow's own name for a pickled model, at every place of a version."""
    import mlflow.pyfunc

    folder, _ = write_model(tmp_path)
    version = tmp_path / "version"
    packaging.package(folder, version)
    for place in (version, version / "artifacts", version / "code"):
        for name in ("python_model.pkl", "model.pkl", "model.pth"):
            (place / name).write_bytes(traps(marker)[0])
    mlflow.pyfunc.load_model(str(version))


def test_a_version_that_names_a_pickle_is_not_loaded(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an MLmodel that somebody changed; `promote` asks a version in a clean process."""
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")  # MLflow's own default
    folder, _ = write_model(tmp_path)
    version = tmp_path / "version"
    packaging.package(folder, version)
    yaml = YAML(typ="safe", pure=True)
    written = yaml.load(version / "MLmodel")
    del written["flavors"]["python_function"]["model_code_path"]
    written["flavors"]["python_function"]["python_model"] = "python_model.pkl"
    yaml.dump(written, version / "MLmodel")
    (version / "python_model.pkl").write_bytes(traps(marker)[0])
    with pytest.raises(MlflowException, match="pickle is disallowed"):
        clean_process.predict(version, [])


def test_a_trainings_checkpoint_is_never_unpickled(tmp_path: Path, marker: Path) -> None:
    for trap in traps(marker):
        (tmp_path / "last.ckpt").write_bytes(trap)
        for options in ({}, {"weights_only": False}):
            with pytest.raises(errors.UserError, match=r"last\.ckpt, .* is damaged"):
                WholeFiles().load_checkpoint(tmp_path / "last.ckpt", **options)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a module, by its dotted name as far as it has one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_nothing_in_the_code_can_run_what_it_reads() -> None:
    """No pickle, no unsafe YAML, no shell, no eval; torch.load and np.load say so themselves."""
    forbidden = re.compile(
        r"(pickle|cPickle|cloudpickle|dill|marshal|shelve|joblib)\.(load|loads|open|Unpickler)"
        r"|yaml\.(unsafe_load|full_load|load_all)|os\.(system|popen)|(^|builtins\.)(eval|exec)"
        r"|subprocess\.(getoutput|getstatusoutput)|pd\.read_pickle|\w*\.?executescript"
    )
    found = []
    for path in SOURCES:
        for name, call in calls(path):
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            wrong = forbidden.fullmatch(name) is not None
            wrong |= name == "yaml.load" and "import YAML" not in path.read_text("utf-8")
            wrong |= name == "torch.load" and given.get("weights_only") != "True"
            wrong |= given.get("allow_pickle", "False") != "False"
            wrong |= given.get("shell", "False") != "False"
            if wrong:
                found.append(f"{path.relative_to(ROOT)}:{call.lineno} {name}")
    assert not found


def test_every_program_is_called_with_a_list() -> None:
    """So that no shell reads a file's name, a commit or a setting; SQL gets values by `?`."""
    programs = ("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_output")
    num_calls = 0
    for path in SOURCES:
        for name, call in calls(path):
            if name in programs:
                num_calls += 1
                assert isinstance(call.args[0], ast.List | ast.Name | ast.Call), ast.unparse(call)
            if name.endswith((".execute", ".executemany")) and call.args:
                assert not isinstance(call.args[0], ast.BinOp), ast.unparse(call)
                put_in = [n for n in ast.walk(call.args[0]) if isinstance(n, ast.FormattedValue)]
                # names of tables, which cannot be given by `?`; wbc/tracking/move.py lists them
                assert {ast.unparse(n.value) for n in put_in} <= TABLE_NAMES, ast.unparse(call)
    assert num_calls > 5


def test_no_shell_reads_the_architectures_of_params_yaml(tmp_path: Path) -> None:
    """Real DVC, the real commands; `echo` in Python's place shows what a stage is given."""
    nasty = ["net; touch owned", "$(touch owned)", "a'b\"c"]
    yaml = YAML(typ="safe", pure=True)
    stages = yaml.load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    own = {
        name: {"matrix": {"architecture": "${architectures}"}, "cmd": stage["cmd"]}
        for name, stage in stages.items()
        if "${" in stage["cmd"]
    }
    assert set(own) == {"weights", "train", "evaluate"}
    for name, document in (
        ("dvc.yaml", {"stages": own}),
        ("params.yaml", {"architectures": nasty}),
    ):
        with (tmp_path / name).open("w", encoding="utf-8") as file:
            yaml.dump(document, file)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(shutil.which("echo") or "/bin/echo")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [*dvc, "repro"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()
    for name, text in itertools.product(own, nasty):
        assert f"\n-m stages.{name} --architecture {text}\n" in done.stdout


def test_names_of_smears_run_in_no_table(tmp_path: Path) -> None:
    """Of files and folders too: in the project's own tables a source's name stands before them."""
    lab = tmp_path / "data" / "incoming" / "lab"
    rows = []
    for number, formula in enumerate(FORMULAS):
        name = f"{formula.replace('/', '')}{number}.png"
        (lab / "mono").mkdir(parents=True, exist_ok=True)
        (lab / "mono" / name).write_bytes(pictures.encoded(pictures.cell(40, 40, 20, 20)))
        rows.append({"path": f"mono/{name}", "label": "monocyte", "group": formula})
    pd.DataFrame(rows).to_csv(lab / "cells.csv", index=False)
    source = FolderSource("folder", "lab", "auto", "data/incoming/lab", "cells.csv")
    table = sources.collect([source], tmp_path / "raw", tmp_path)
    cells.write_table(table, tmp_path / "metadata.csv")
    written = pd.read_csv(tmp_path / "metadata.csv", dtype=str, keep_default_na=False)
    assert len(written) == len(FORMULAS)
    for value in written.to_numpy().ravel():
        assert not EVERY_FORMULA.match(value), value
    assert set(table["group"]) == {safe_text(" ".join(formula.split())) for formula in FORMULAS}


@pytest.mark.parametrize("formula", (*FORMULAS, "a;=1+1;b"))
def test_names_of_slides_models_and_people_run_in_no_table(formula: str, tmp_path: Path) -> None:
    from wbc import cli
    from wbc.digests import digest_of
    from wbc.reviewing import journal
    from wbc.reviewing.queue import write_csv

    out = write_out(tmp_path, num_cells=1)
    picture = tmp_path / "slides" / "a" / "0.png"
    with journal.opened(out) as answers:
        answers.append(
            journal.Entry("relabel", "a/0.png", digest_of(picture), "basophil", "monocyte",
                          formula, formula, formula, "2026-01-01")
        )  # fmt: skip
    cli.main(["review", str(out), "--export", str(tmp_path / "reviewed")])
    cell = replace(queued(picture, 0), name=formula, slide=formula, others={formula: "basophil"})
    write_csv([cell], {}, tmp_path / "review.csv")
    for path in (tmp_path / "reviewed" / "labels.csv", tmp_path / "review.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert len(table) == 1
        assert not [value for value in table.to_numpy().ravel() if EVERY_FORMULA.match(value)]
        cells_at_semicolons = path.read_text(encoding="utf-8").replace('"', "").split(";")
        assert not [value for value in cells_at_semicolons if EVERY_FORMULA.match(value)]


def test_every_page_escapes_what_it_shows() -> None:
    """One template for all reports (tests/wbc/test_page.py tries every place in it), one for the
    review; neither lets a text through, and no module writes HTML of its own."""
    for template in sorted((ROOT / "wbc" / "templates").glob("*.html")):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe|autoescape\s+false|innerHTML|insertAdjacent", text)
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "Markup" not in text, path
        assert len(re.findall(r"\bEnvironment\(", text)) == text.count("autoescape=True"), path
        tags = re.findall(
            r"[\"'][^\"'\n]*</?(?:div|td|tr|p|img|script|a|h1|li)\b[^\"'\n]*[\"']", text
        )
        assert not tags, (path, tags)


def test_names_of_slides_and_cells_are_text_on_the_review_page(tmp_path: Path) -> None:
    from tests.fuzz.test_requests import Review
    from wbc.reviewing import journal
    from wbc.reviewing.server import Server
    from wbc.reviewing.session import Session

    (tmp_path / "0.png").write_bytes(pictures.encoded(pictures.cell()))
    cell = queued(tmp_path / "0.png", 1)
    run = Run("/slides", [NASTY], {"size": 64, "crop": "cell", "context": 1.5}, [cell], NASTY)
    with journal.opened(tmp_path) as answers:
        session = Session(run, answers, f"</script>{NASTY}", lambda: "")
        with Server(session, 0, NASTY) as server:
            host = f"Host: 127.0.0.1:{server.server_port}\r\nConnection: close\r\n\r\n"
            page = Review(tmp_path, session, server).ask(b"GET / HTTP/1.1\r\n" + host.encode())
    assert page.startswith(b"HTTP/1.1 200") and b"onerror=alert" in page
    assert b"<img src=x" not in page and page.count(b"</script>") == 1


def test_servers_are_bound_to_this_machine_alone() -> None:
    """Every address that the code binds or hands to a server."""
    from wbc.registry import serve
    from wbc.reviewing import server as review

    assert serve.HOST == review.HOST == "127.0.0.1"
    line = serve.command_line(5001, 1)
    assert line[line.index("--host") + 1] == "127.0.0.1"
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"0\.0\.0\.0|[\"']::[\"']|INADDR_ANY", text), path
        for found in re.findall(r"\.bind\(\(([^,]+),", text):
            assert found in ('"127.0.0.1"', "HOST"), path
