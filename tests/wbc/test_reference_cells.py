"""wbc.reference_cells: from a store's cells to what is usual for a model."""

import numpy as np
import pytest

from tests.mlflow_home import ARCHITECTURE, write_model
from tests.wbc.stores import SIZE, make_store
from wbc import model, picture_statistics, reference, reference_cells
from wbc.pixels import PixelStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PixelStore:
    return make_store(tmp_path_factory.mktemp("pixels"), {"train": 4, "val": 3})


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> model.Classifier:
    home = tmp_path_factory.mktemp("home")
    write_model(home, input={"size": SIZE, "crop": "none", "context": 1.5})
    return model.load(home / "models" / ARCHITECTURE)


def test_it_is_what_the_model_says_of_the_cells(
    store: PixelStore, classifier: model.Classifier
) -> None:
    train, val = store.part("train"), store.part("val")
    found = reference_cells.make(classifier, train, val, 4)
    assert found is not None and len(found.features) == 20
    outputs = classifier.outputs(val.read(range(15)))
    np.testing.assert_allclose(found.logits, outputs.logits, rtol=1e-4)
    again = reference.distances(found, outputs.features)
    np.testing.assert_allclose(found.distances, again, atol=1e-4)
    assert tuple(found.pictures) == picture_statistics.NAMES
    # A training cell is its own nearest neighbour, and half precision keeps it there.
    own = np.linalg.norm(found.features - found.features[0], axis=1)
    assert own[0] == 0 and np.sort(own)[1] > 0


def test_too_few_cells_make_none(store: PixelStore, classifier: model.Classifier) -> None:
    val = store.part("val")
    few = reference_cells.some(val, 1)
    assert reference_cells.make(classifier, store.part("train"), few, 4) is None
    assert reference_cells.make(classifier, reference_cells.some(val, 5), val, 4) is None


def test_the_same_rows_are_drawn_every_time() -> None:
    drawn = reference_cells.sample_rows(5000)
    assert np.array_equal(drawn, reference_cells.sample_rows(5000))
    assert len(set(drawn)) == reference.MAX_REFERENCE
    assert reference_cells.sample_rows(7).tolist() == list(range(7))
