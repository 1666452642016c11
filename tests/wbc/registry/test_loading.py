"""wbc.registry.loading: real versions in a clean process, whole, damaged, lost and slow."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
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


def test_a_version_that_hangs_is_given_up(
    store: Store, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "SECONDS", 0.1)
    with pytest.raises(Unreadable, match="did not load and answer within 0 seconds"):
        loading.check(store, version(store), cells)


def test_a_process_that_dies_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "dies.py"
    script.write_text("import sys\nsys.exit('Killed')\n")
    monkeypatch.setattr(loading, "_SCRIPT", script)
    with pytest.raises(Unreadable, match=r"the process that loaded it died \(Killed\)"):
        loading.check(store, version(store), [])


def answer(decided: str = "neutrophil", share: float = 0.8, error: str = "") -> dict[str, Any]:
    rest = (1 - share) / 4
    shares = {f"p_{name}": share if name == "neutrophil" else rest for name in CLASSES}
    return {"class": decided, "error": error, **shares}


def recorded() -> dict[str, Any]:
    return answer() | {"predicted": "neutrophil", "path": "lab/1.png"}


@pytest.mark.parametrize(
    "row", [answer(error="broken"), answer("unreadable"), answer(share=np.nan)]
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
