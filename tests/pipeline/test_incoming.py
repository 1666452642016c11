"""Images under data/incoming: a change there runs the pipeline again, wherever it runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.pipeline.conftest import Repository, commit, make_repository
from wbc.cells import CLASSES

pytestmark = pytest.mark.pipeline
LAB = Path("data/incoming/lab")
SOURCE = {"kind": "folder", "name": "lab", "role": "auto", "path": str(LAB)}


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def lab(tmp_path: Path) -> Repository:
    """A laboratory's folder, imported as the README says, and changed since."""
    outside = tmp_path / "their folder"
    (tmp_path / "clone").mkdir()
    repository = make_repository(tmp_path / "clone")
    for label, name in enumerate(CLASSES):
        for number in range(12):
            picture(outside / name / f"{number}.png", 100 * label + number)
    repository.run("dvc", "import-url", str(outside), str(LAB))
    repository.set(data__sources=[SOURCE], preprocess__input_size=32, preprocess__crop="none")
    commit(repository, "our laboratory")
    assert "download" in repository.ran(repository.run("dvc", "repro", "preprocess"))
    commit(repository, "first run")
    assert repository.ran(repository.run("dvc", "repro", "preprocess")) == []
    picture(outside / "monocyte" / "new.png", 999)
    repository.run("dvc", "update", f"{LAB}.dvc")
    return repository


def stored(repository: Repository) -> set[str]:
    index = pd.read_csv(repository.path / "data/pixels/index.csv", keep_default_na=False)
    return set(index["path"])


NEW = "lab/monocyte/new.png"


def test_repro_sees_a_new_image(lab: Repository) -> None:
    assert lab.ran(lab.run("dvc", "repro", "preprocess")) == ["download", "split", "preprocess"]
    assert NEW in stored(lab)


def test_repro_sees_what_was_added_by_hand(lab: Repository) -> None:
    picture(lab.path / LAB / "basophil" / "by-hand.png", 998)
    lab.run("dvc", "add", str(LAB))
    assert lab.ran(lab.run("dvc", "repro", "preprocess")) == ["download", "split", "preprocess"]
    assert {NEW, "lab/basophil/by-hand.png"} <= stored(lab)


@pytest.mark.parametrize("mode", ["--temp", "--queue"])
def test_an_experiment_elsewhere_sees_a_new_image(lab: Repository, mode: str) -> None:
    lab.run("dvc", "exp", "run", mode, "-n", "with-new", "preprocess")
    if mode == "--queue":
        lab.run_queue(jobs=1)
    assert NEW not in stored(lab)
    lab.run("dvc", "exp", "apply", "with-new", status=None)  # 1: later stages never ran
    assert NEW in stored(lab)
