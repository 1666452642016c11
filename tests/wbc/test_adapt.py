"""wbc.adapt: what is learned from, and what stays as it was."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.mlflow_home import ARCHITECTURE, card, write_model
from tests.wbc.stores import make_store
from wbc import adapt, device, params
from wbc.backbones import Network
from wbc.cells import CLASSES
from wbc.labelled import draw
from wbc.pixels import PixelStore

ROOT = Path(__file__).parent.parent.parent
JOB = adapt.Adaptation("abroad", 2, 1, dataclasses.replace(adapt.RECIPE, epochs=1))
SOURCES = [{"name": "blobs", "kind": "folder", "role": "auto"}]


@pytest.fixture
def store(tmp_path: Path) -> PixelStore:
    return make_store(tmp_path / "pixels", {"train": 6, "val": 2, "abroad": 8})


def test_the_lesson_is_labelled_and_rehearsed_cells(store: PixelStore) -> None:
    drawn = draw(store.part("abroad").table, JOB.per_class, JOB.seed)
    cells = adapt.lesson(store, drawn, card(sources=SOURCES), JOB)
    learned = cells.part("train").table["path"].str.split("/").str[:2].str.join("/").value_counts()
    assert learned.to_dict() == {
        f"{part}/{name}": 2 for part in ("train", "abroad") for name in CLASSES
    }
    labelled = set(store.part("abroad").table["path"].iloc[drawn.labelled])
    assert set(cells.part("val").table["path"]) == labelled
    judged = set(store.part("abroad").table["path"].iloc[drawn.rest])
    assert not judged & set(cells.table["path"])


def test_without_the_old_laboratorys_cells_nothing_is_rehearsed(store: PixelStore) -> None:
    other = card(sources=[{"name": "elsewhere", "kind": "folder", "role": "auto"}])
    assert len(adapt.rehearsed(store, other, JOB)) == 0
    external = card(sources=[{**SOURCES[0], "role": "external"}])
    assert len(adapt.rehearsed(store, external, JOB)) == 0
    drawn = draw(store.part("abroad").table, JOB.per_class, JOB.seed)
    assert len(adapt.lesson(store, drawn, other, JOB).part("train")) == 10


def test_the_recipe_replaces_what_it_decides_and_nothing_else() -> None:
    train = params.load(ROOT / "params.yaml").train
    found = adapt.settings(train, JOB.recipe)
    changed = {
        f.name
        for f in dataclasses.fields(train)
        if getattr(found, f.name) != getattr(train, f.name)
    }
    assert changed <= {
        "epochs", "head_epochs", "patience", "unfreeze", "head_learning_rate", "learning_rate",
        "cache_views",
    }  # fmt: skip


def test_lower_layers_stay_as_they_were(store: PixelStore, tmp_path: Path) -> None:
    model_dir, _ = write_model(tmp_path, sources=SOURCES)
    before = load_file(model_dir / "model.safetensors")
    drawn = draw(store.part("abroad").table, JOB.per_class, JOB.seed)
    described = card(sources=SOURCES)
    cells = adapt.lesson(store, drawn, described, JOB)
    train = adapt.settings(params.load(ROOT / "params.yaml").train, JOB.recipe)
    train = dataclasses.replace(train, head_epochs=0, batch_size=4)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    outcome = adapt.fine_tune(
        model_dir, described, cells, train, 1, device.pick("cpu", 32, 1), scratch
    )
    after = outcome.network.net.state_dict()
    own = Network(ARCHITECTURE, 0.0, frozen_batch_norm=True)
    own.unfreeze("upper")
    learns = {name for name, tensor in own.net.named_parameters() if tensor.requires_grad}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and changed <= learns
    card_after = adapt.make_card(described, "ab" * 32, JOB, train, cells, outcome)
    assert card_after["sources"][-1] == {"name": "abroad", "kind": "", "role": "adapted"}
    assert len(card_after["adapted"]["cells"]) == 10
