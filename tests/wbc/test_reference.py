"""wbc.reference: distances from training, what is far, and the file that keeps it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wbc import reference
from wbc.errors import UserError
from wbc.reference import Features, Reference, distances, make_reference


def cloud(num_cells: int, seed: int) -> Features:
    return np.random.default_rng(seed).normal(1.0, 0.3, (num_cells, 32)).astype(np.float32)


def make(num_train: int = 300, num_val: int = 200) -> Reference:
    logits = np.random.default_rng(3).normal(size=(num_val, 5)).astype(np.float32)
    pictures = {"brightness": np.linspace(100, 200, num_val)}
    return make_reference(cloud(num_train, 1), cloud(num_val, 2), logits, pictures)


REFERENCE = make()


def test_the_distance_is_that_to_the_fifth_neighbour_of_unit_vectors() -> None:
    train, cell = cloud(50, 1), cloud(1, 4)
    unit = train / np.linalg.norm(train, axis=1, keepdims=True)
    expected = np.sort(np.linalg.norm(unit - cell / np.linalg.norm(cell), axis=1))[4]
    (found,) = distances(make(50, 5), cell)
    assert found == pytest.approx(expected, rel=1e-3)  # features are kept in half precision


def test_the_scale_of_features_does_not_matter() -> None:
    cells = cloud(20, 6)
    assert np.allclose(distances(REFERENCE, cells), distances(REFERENCE, 7 * cells), atol=1e-6)


def test_one_in_a_hundred_validation_cells_is_far() -> None:
    assert reference.is_far(REFERENCE, REFERENCE.usual).mean() == pytest.approx(0.01)
    found = distances(REFERENCE, cloud(200, 2))  # not rounded as the file is
    assert reference.is_far(REFERENCE, found).mean() == pytest.approx(0.01)


def test_what_was_written_is_read_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        reference.write(path, make(), "abc")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    read = reference.read(paths[0])
    assert read is not None
    for name in ("features", "distances", "logits"):
        assert np.array_equal(getattr(read, name), getattr(REFERENCE, name)), name
    assert np.array_equal(read.pictures["brightness"], REFERENCE.pictures["brightness"])
    assert (
        read.model == "abc"
        and read.limit == REFERENCE.limit
        and list(read.pictures) == ["brightness"]
    )


def test_500_cells_take_a_megabyte(tmp_path: Path) -> None:
    wide = np.random.default_rng(1).random((500, 1280)).astype(np.float32)
    found = make_reference(wide, wide[:50], np.zeros((50, 5), np.float32), {})
    reference.write(tmp_path / "file", found)
    assert (tmp_path / "file").stat().st_size < 1_300_000


def test_no_file_and_too_few_cells_are_no_reference(tmp_path: Path) -> None:
    assert reference.read(tmp_path / "file") is None
    reference.write(tmp_path / "file", None)
    assert (tmp_path / "file").is_file() and reference.read(tmp_path / "file") is None
    for few in ((5, 10), (6, 1)):
        with pytest.raises(ValueError, match="are too few"):
            make(*few)


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "reference.safetensors"
    reference.write(path, REFERENCE)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="no readable reference"):
        reference.read(path)


def test_tensors_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "reference.safetensors"
    mixed = Reference(REFERENCE.features, REFERENCE.distances, REFERENCE.logits[:9], {})
    reference.write(path, mixed)
    with pytest.raises(UserError, match="do not belong together"):
        reference.read(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"distances": np.full(200, np.nan)},
        {"features": np.full((300, 32), np.inf, np.float32)},
        {"distances": REFERENCE.distances[:, None]},
        {"distances": np.array(1.0)},
        {"pictures": {"brightness": np.array(1.0)}},
        {"logits": REFERENCE.logits[:, 0]},
    ],
)
def test_tensors_that_are_no_tables_of_numbers_are_refused(tmp_path: Path, changes: Any) -> None:
    path = tmp_path / "reference.safetensors"
    reference.write(path, replace(REFERENCE, **changes))
    with pytest.raises(UserError, match="holds no readable reference"):
        reference.read(path)


def test_features_of_another_model_are_refused() -> None:
    with pytest.raises(UserError, match=r"32 features a cell, the model 7"):
        distances(REFERENCE, np.ones((2, 7), np.float32))
