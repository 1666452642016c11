"""wbc.registry.loading: real versions in a clean process, whole, damaged, lost and slow."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.mlflow_home import ARCHITECTURE, new_home, write_model
from wbc.cells import CLASSES
from wbc.registry import loading
from wbc.registry.loading import Cell, Unreadable
from wbc.registry.versions import all_versions
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store
from wbc.tracking.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A registry with one real version."""
    with pytest.MonkeyPatch.context() as patch:
        home = new_home(tmp_path_factory.mktemp("loading") / "home", patch)
        tracking.publish(ARCHITECTURE, *write_model(home))
        yield tracking_store.connect(home)


@pytest.fixture
def files(store: Store) -> Iterator[Path]:
    """The version's two files, put back as they were afterwards."""
    (weights,) = (store.workspace / "mlruns").rglob("model.safetensors")
    kept = {path: path.read_bytes() for path in weights.parent.iterdir()}
    yield weights.parent
    weights.parent.mkdir(exist_ok=True)
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return loading.drawn_cells()


def version(store: Store) -> Any:
    return all_versions(store)[0]


def test_a_whole_version_answers_by_itself(
    store: Store, cells: list[Cell], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "wbc").mkdir()
    (tmp_path / "wbc" / "__init__.py").write_text("raise RuntimeError('not asked')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # the workspace's code must not be found
    assert loading.check(store, version(store), cells) == "it was loaded and answered on 5 images"
    loading.check_files(store, version(store))


def test_damaged_weights_are_named(store: Store, files: Path) -> None:
    """By `check` too: tests/pipeline/test_promotion.py."""
    content = bytearray((files / "model.safetensors").read_bytes())
    content[-5] ^= 1  # one bit: it still loads
    (files / "model.safetensors").write_bytes(content)
    with pytest.raises(Unreadable, match="no longer those that were registered"):
        loading.check_files(store, version(store))


def test_lost_files_are_named(store: Store, files: Path, cells: list[Cell]) -> None:
    shutil.rmtree(files)
    with pytest.raises(Unreadable, match="it cannot be loaded"):
        loading.check(store, version(store), cells)
    with pytest.raises(Unreadable, match="its files cannot be read"):
        loading.check_files(store, version(store))


def answer(decided: str = "neutrophil", share: float = 0.8, error: str = "") -> dict[str, Any]:
    rest = (1 - share) / 4
    shares = {f"p_{name}": share if name == "neutrophil" else rest for name in CLASSES}
    return {"class": decided, "error": error, **shares}


def recorded() -> dict[str, Any]:
    return answer() | {"predicted": "neutrophil", "path": "lab/1.png"}


@pytest.mark.parametrize(
    "row",
    [
        answer(error="broken"),
        answer("unreadable"),
        answer(share=np.nan),
        answer() | {"p_monocyte": 0.06},
        answer() | {"p_monocyte": 0.04},
    ],
)
def test_no_sound_answer_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(Unreadable, match="it gives no sound answer"):
        loading._check_answers([row])


def test_answers_must_be_the_recorded_ones() -> None:
    loading._compare([answer(share=0.80009)], [recorded()], loading.TOLERANCE)
    for other in (answer("monocyte"), answer(share=0.8002)):
        with pytest.raises(Unreadable, match=r"no longer answers as recorded: lab/1\.png was"):
            loading._compare([other], [recorded()], loading.TOLERANCE)
    loading._compare([answer("monocyte", 0.805)], [recorded()], loading.GPU_TOLERANCE)
    with pytest.raises(Unreadable, match=r"up to 0.02 apart"):
        loading._compare([answer(share=0.82)], [recorded()], loading.GPU_TOLERANCE)


def test_cells_are_those_of_the_evaluation_while_they_are_there(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"cell").hexdigest()
    rows = [{"path": f"{i}.png", "sha256": digest, "label": CLASSES[i % 2]} for i in range(8)]
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(b"cell")
    found = loading.some_cells(pd.DataFrame(rows), tmp_path)
    assert [cell.recorded["path"] for cell in found if cell.recorded] == [
        "1.png", "3.png", "0.png", "2.png",
    ]  # fmt: skip
    (tmp_path / "1.png").write_bytes(b"another")
    kept = loading.some_cells(pd.DataFrame(rows), tmp_path)
    assert [cell.recorded["path"] for cell in kept if cell.recorded][:2] == ["3.png", "5.png"]
    drawn = loading.some_cells(pd.DataFrame(rows), tmp_path / "nowhere")
    assert len(drawn) == 5 and not any(cell.recorded for cell in drawn)


ANSWERS = """import json, os, sys
from pathlib import Path
folder = Path(sys.argv[1])
job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
seen = {"images": [Path(one).read_bytes().decode() for one in job.pop("images")], "job": job,
        "here": Path.cwd() == folder.resolve(), "safe": sys.flags.safe_path,
        "paths": "PYTHONPATH" in os.environ, "told": os.environ["MLFLOW_DISABLE_TELEMETRY"]}
(folder / "answers.json").write_text(json.dumps({"seen": seen} | ANSWERS), encoding="utf-8")
"""


class Asked:
    """A version of which a script says what it was asked and answers what it is told."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.script, self.patch = tmp_path / "script.py", monkeypatch
        monkeypatch.setattr(loading, "_SCRIPT", self.script)
        monkeypatch.setenv("PYTHONPATH", "nowhere")
        run = SimpleNamespace(data=SimpleNamespace(tags={"device": "CPU, 1 threads, 32 bit"}))
        self.runs = {"run-1": run}
        client = SimpleNamespace(tracking_uri="sqlite:///µ.db", get_run=self.runs.__getitem__)
        self.store: Any = SimpleNamespace(client=client)
        self.version = SimpleNamespace(
            version="3", run_id="run-1", tags={"model_sha256": "ab" * 32}
        )

    def check(self, cells: list[Cell], **answers: Any) -> str:
        known = {"sha256": "ab" * 32, "crop": "cell", "rows": [answer()] * len(cells)} | answers
        self.script.write_text(f"ANSWERS = {known!r}\n{ANSWERS}")
        return loading.check(self.store, self.version, cells)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(tmp_path, monkeypatch)


def test_the_process_is_told_what_it_needs_and_no_more(asked: Asked) -> None:
    cells = [Cell(b"one", None), Cell(b"two", None)]
    asked.check(cells)
    seen = loading._ask(asked.store, asked.version, cells)["seen"]
    job = {"uri": "sqlite:///µ.db", "model": "models:/wbc-classifier/3", "sha256": "ab" * 32}
    assert seen == {
        "images": ["one", "two"], "job": job, "here": True, "safe": True, "paths": False,
        "told": "true",
    }  # fmt: skip


def test_what_was_tried_is_said_and_what_differs_is_refused(asked: Asked) -> None:
    known, unknown = Cell(b"x", recorded()), Cell(b"y", None)
    assert asked.check([known, known]) == "it was loaded and repeated 2 recorded answers"
    assert asked.check([known, unknown]) == "it was loaded and answered on 2 images"
    other = [answer("monocyte", 0.5)] * 2
    assert asked.check([known] * 2, crop="mask", rows=other).endswith("answered on 2 images")
    with pytest.raises(Unreadable) as error:
        asked.check([known] * 2, rows=other)
    assert str(error.value) == (
        "it no longer answers as recorded: lab/1.png was neutrophil, now it is monocyte, and"
        " probabilities are up to 0.3 apart"
    )
    with pytest.raises(Unreadable, match="it gives no sound answer \\(broken: "):
        asked.check([known], rows=[answer(error="broken")])
    with pytest.raises(Unreadable) as error:
        asked.check([known], sha256="cd" * 32)
    assert str(error.value) == (
        "its files have the SHA-256 cdcdcdcd instead of abababab, as registered: they were damaged"
        " or changed"
    )
    with pytest.raises(Unreadable, match=r"^it cannot be loaded \(no such key\)$"):
        asked.check([known], error="no such key")
    asked.script.write_text(f"ANSWERS = {{'error': 'no such file'}}\n{ANSWERS}")  # and no hash
    with pytest.raises(Unreadable, match=r"^it cannot be loaded \(no such file\)$"):
        loading.check(asked.store, asked.version, [known])
    asked.version.tags = {}  # a version that somebody else registered
    with pytest.raises(Unreadable, match=r"^it cannot be loaded \(no such file\)$"):
        loading.check(asked.store, asked.version, [known])
    assert loading._ask(asked.store, asked.version, [known])["seen"]["job"]["sha256"] == ""
    with pytest.raises(Unreadable, match="SHA-256 abababab instead of , as registered"):
        asked.check([known])


def test_a_gpus_answers_may_differ_more(asked: Asked) -> None:
    near = [answer(share=0.805)]
    with pytest.raises(Unreadable, match="no longer answers"):
        asked.check([Cell(b"x", recorded())], rows=near)
    for tags in ({"device": "A GPU, CUDA 13.0, bf16"}, {}):
        asked.runs["run-1"].data.tags = tags
        assert "repeated 1" in asked.check([Cell(b"x", recorded())], rows=near)


def test_a_process_that_cannot_start_hangs_or_dies_is_named(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.script.write_text("import sys\nsys.exit(4)\n")
    with pytest.raises(Unreadable, match=r"^the process that loaded it died \(status 4\)$"):
        loading.check(asked.store, asked.version, [])
    asked.script.write_text("import sys\nsys.exit('a\\nb\\n' + 200 * 'b')\n")
    with pytest.raises(Unreadable, match=rf"died \({'b' * 160}\)$"):
        loading.check(asked.store, asked.version, [])
    asked.script.write_text("import time\ntime.sleep(60)\n")
    with monkeypatch.context() as patch, pytest.raises(Unreadable) as error:
        patch.setattr(loading, "SECONDS", 0.1)
        loading.check(asked.store, asked.version, [])
    assert str(error.value) == "it did not load and answer within 0 seconds"
    monkeypatch.setattr(loading.sys, "executable", str(asked.script / "none"))
    with pytest.raises(Unreadable, match=r"^no process could be started to load it \(.*director"):
        loading.check(asked.store, asked.version, [])


def test_files_are_compared_with_what_was_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.artifacts

    given = []

    def download(artifact_uri: str, dst_path: str) -> str:
        given.append((artifact_uri, Path(dst_path).is_dir()))
        if not tmp_path.joinpath("model.json").is_file():
            raise OSError("x" * 300)
        return str(tmp_path)

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "model.json").write_bytes(b"{}")
    tags = {"model_sha256": hashlib.sha256(b"weights{}").hexdigest()}
    version = SimpleNamespace(version="3", tags=tags)
    asked = []
    client = SimpleNamespace(get_registered_model=asked.append)
    store: Any = SimpleNamespace(client=client)
    loading.check_files(store, version)
    assert given == [("models:/wbc-classifier/3/artifacts", True)]
    (tmp_path / "model.json").write_bytes(b"{ }")
    with pytest.raises(Unreadable, match=r"^its files are no longer those that were registered$"):
        loading.check_files(store, version)
    (tmp_path / "model.json").unlink()
    with pytest.raises(Unreadable, match=r"^its files cannot be read \(x{1,160}\)$"):
        loading.check_files(store, version)
    assert asked == ["wbc-classifier"]
    client.get_registered_model = None  # the registry itself is away: no word about the files
    with pytest.raises(OSError, match="xxx"):
        loading.check_files(store, version)


def test_at_most_two_cells_a_class_are_looked_for_among_the_first_twenty(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"cell").hexdigest()
    rows = pd.DataFrame(
        {"path": [f"{i:02}.png" for i in range(23)], "sha256": digest, "label": "monocyte"}
    )
    for i in (19, 20, 21, 22):
        (tmp_path / f"{i:02}.png").write_bytes(b"cell")
    found = loading.some_cells(rows, tmp_path)
    assert [cell.recorded and cell.recorded["path"] for cell in found] == ["19.png"]
    assert found[0].image == b"cell"
    (tmp_path / "19.png").unlink()
    assert [cell.recorded for cell in loading.some_cells(rows, tmp_path)] == [None] * 5
    assert len(loading.some_cells(None, tmp_path)) == 5


def test_of_each_class_one_cell_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def draw_cell(cell: Any, size: int) -> bytes:
        drawn.append((cell.label, size))
        return cell.label.encode()  # type: ignore[no-any-return]

    monkeypatch.setattr("wbc.sources.sample.draw_cell", draw_cell)
    assert loading.drawn_cells() == [Cell(name.encode(), None) for name in CLASSES]
    assert drawn == [(name, 128) for name in CLASSES]
