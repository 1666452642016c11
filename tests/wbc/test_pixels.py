"""The pixel store: what is written is read, parts and names of sets are exact."""

import hashlib
import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.small_disk import small_disk
from wbc.errors import UserError
from wbc.pixels import (
    PixelStore,
    allocate,
    evaluation_set_sha256,
    finish,
    open_store,
    pages,
    write_cells,
)

SIZE = 8


def table(splits: list[str]) -> pd.DataFrame:
    count = len(splits)
    return pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(count)],
            "label": [("basophil", "neutrophil")[i % 2] for i in range(count)],
            "sha256": [f"{i:064x}" for i in range(count)],
            "split": splits,
        }
    )


def squares(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def make_store(folder: Path, splits: list[str], left_out: tuple[int, ...] = ()) -> PixelStore:
    places = allocate(folder, len(splits), SIZE, shard_cells=3)
    pixels = squares(len(splits))
    write_cells(folder, ((places[i], pixels[i]) for i in range(len(splits)) if i not in left_out))
    index = table(splits).assign(shard=[s for s, _ in places], row=[r for _, r in places])
    finish(folder, index.drop(list(left_out)), {"size": SIZE})
    return open_store(folder)


def test_cells_come_back_over_shards_and_holes(tmp_path: Path) -> None:
    store = make_store(tmp_path / "new" / "folders", ["train"] * 7, left_out=(3,))
    assert len(store) == store.settings["num_cells"] == 6
    assert sorted(p.name for p in store.folder.glob("*.npy")) == [
        f"shard-{i:05d}.npy" for i in range(3)
    ]
    assert [len(shard) for shard in store.shards] == [3, 3, 1]
    kept = [0, 1, 2, 4, 5, 6]
    assert np.array_equal(store.read([5, 0, 3]), squares(7)[[6, 0, 4]])
    assert store.read([5, 0, 3]).dtype == np.uint8
    assert np.array_equal(np.concatenate(list(store.batches(4))), squares(7)[kept])


def test_shards_are_mapped_not_loaded(tmp_path: Path) -> None:
    assert all(isinstance(shard, np.memmap) for shard in make_store(tmp_path, ["train"]).shards)


def test_what_is_read_is_asked_for_in_advance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Mapped(mmap.mmap):
        def madvise(self, advice: int, start: int, length: int) -> None:
            asked.append((advice, self[start : start + length]))

    monkeypatch.setattr(mmap, "mmap", Mapped)  # which NumPy takes too
    cells = make_store(tmp_path, ["train"] * 7).read([5, 0])
    for (advice, pages_of_row), pixels in zip(asked, cells, strict=True):
        assert advice == mmap.MADV_WILLNEED and pixels.tobytes() in pages_of_row


@pytest.mark.parametrize("row", [0, 1, 30, 31])
def test_the_pages_of_a_row_hold_it_and_little_else(tmp_path: Path, row: int) -> None:
    allocate(tmp_path, 32, 100, shard_cells=32)
    write_cells(tmp_path, [((0, row), np.full((100, 100, 3), 7, np.uint8))])
    shard = np.load(tmp_path / "shard-00000.npy", mmap_mode="r")
    start, length = pages(shard.offset, shard.strides[0], row)
    assert start % mmap.PAGESIZE == 0
    assert length < shard.strides[0] + mmap.PAGESIZE
    assert shard.base[start : start + length].count(7) == 30_000


def test_parts_and_the_order_of_sets(tmp_path: Path) -> None:
    store = make_store(tmp_path, ["zagreb", "test_b", "train", "val", "test_a", "arad", "val"])
    assert store.evaluation_sets() == ["val", "test_a", "test_b", "arad", "zagreb"]
    others = make_store(tmp_path / "others", ["arad", "test", "val"])
    assert others.evaluation_sets() == ["val", "test", "arad"]
    part = store.part("val")
    assert part.folder == store.folder == tmp_path
    assert list(part.table.columns) == list(store.table.columns)
    assert list(part.table["path"]) == ["3.png", "6.png"]
    assert np.array_equal(part.read([1]), squares(7)[[6]])
    assert list(part.labels) == [0, 4]


def test_a_store_is_named_by_every_pixel_and_row(tmp_path: Path) -> None:
    first = make_store(tmp_path / "a", ["train", "val"]).settings["sha256"]
    assert make_store(tmp_path / "b", ["train", "val"]).settings["sha256"] == first
    assert make_store(tmp_path / "c", ["train", "test"]).settings["sha256"] != first
    assert make_store(tmp_path / "d", ["train", "val"], left_out=(1,)).settings["sha256"] != first


def test_a_store_of_the_same_rows_with_another_pixel_has_another_name(tmp_path: Path) -> None:
    store = make_store(tmp_path, ["train", "val"])
    name = finish(tmp_path, store.table, store.settings)
    assert finish(tmp_path, store.table, store.settings) == name
    changed = store.read([1])[0]
    changed[0, 0, 0] ^= 1
    write_cells(tmp_path, [((0, 1), changed)])
    assert finish(tmp_path, store.table, store.settings) != name


def test_store_json_does_not_depend_on_the_order_of_settings(tmp_path: Path) -> None:
    store = make_store(tmp_path, ["train", "val"])
    name = finish(tmp_path, store.table, {"size": SIZE, "context": 1.5})
    assert (tmp_path / "store.json").read_text() == (
        f'{{\n  "context": 1.5,\n  "num_cells": 2,\n  "sha256": "{name}",\n  "size": {SIZE}\n}}\n'
    )


def test_an_evaluation_set_is_named_by_its_cells_and_labels_only() -> None:
    rows = table(["val"] * 4)
    name = evaluation_set_sha256(rows)
    assert evaluation_set_sha256(rows.iloc[::-1]) == name
    assert evaluation_set_sha256(rows.assign(path="other")) == name
    assert evaluation_set_sha256(rows.iloc[1:]) != name
    assert evaluation_set_sha256(rows.assign(label="monocyte")) != name


def test_the_name_of_an_evaluation_set_is_the_one_that_older_runs_recorded() -> None:
    written = f"{0:064x} basophil\n{1:064x} neutrophil\n"
    name = hashlib.sha256(written.encode()).hexdigest()
    assert evaluation_set_sha256(table(["val"] * 2)) == name


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"store\.json was expected but is not there"):
        open_store(tmp_path)
    store = make_store(tmp_path, ["train"])
    finish(tmp_path, store.table.drop(columns="row"), store.settings)
    with pytest.raises(UserError, match="has no column row"):
        open_store(tmp_path)


def damaged(folder: Path, name: str, change: Callable[[bytes], bytes], words: str) -> None:
    """A store with one file changed is refused in a sentence that names it."""
    store = make_store(folder, ["train"] * 7)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(UserError, match=words) as error:
        open_store(folder)
    assert str(error.value).startswith(f"{folder / name} should be a ")
    assert "bring it back with `dvc checkout`" in str(error.value)
    assert len(store) == 7


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("store.json", lambda old: old[: len(old) // 2], "cannot be read"),
        ("store.json", lambda old: b"[]", "is no object"),
        ("store.json", lambda old: b"{}", "has no size"),
        ("store.json", lambda old: b'{"size": 4}', "has no num_cells"),
        ("shard-00000.npy", lambda old: old[: len(old) // 2], "cannot be read"),
        ("shard-00001.npy", lambda old: b"", "cannot be read"),
        ("shard-00000.npy", lambda old: old.replace(b"|u1", b"|b1"), "holds bool of shape"),
        ("index.csv", lambda old: old[: len(old) // 2], "cut off|no column|has . cells, where"),
        ("index.csv", lambda old: old[: old[:-1].rindex(b"\n") + 1], "6 cells, where store.json"),
        ("index.csv", lambda old: old[:-1], "is cut off"),
    ],
)
def test_a_damaged_store_is_one_sentence(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes], words: str
) -> None:
    damaged(tmp_path, name, change, words)


@pytest.mark.parametrize(("column", "value"), [("shard", 9), ("row", 4), ("row", -1), ("row", "x")])
def test_an_index_names_squares_that_are_there(tmp_path: Path, column: str, value: object) -> None:
    store = make_store(tmp_path, ["train"] * 4)
    table = store.table.astype({column: object})
    table.loc[2, column] = value
    finish(tmp_path, table, store.settings)
    with pytest.raises(UserError, match=r"names row \S+ of shard \d, which is not there; bring"):
        open_store(tmp_path)


def test_a_shard_between_others_that_is_gone_is_missed(tmp_path: Path) -> None:
    make_store(tmp_path, ["train"] * 7)
    (tmp_path / "shard-00000.npy").unlink()
    with pytest.raises(UserError, match=r"shard-00000\.npy was expected but is not there"):
        open_store(tmp_path)


def test_reading_needs_no_writing(tmp_path: Path) -> None:
    store = make_store(tmp_path, ["train"])
    with pytest.raises(ValueError, match="read-only"):
        store.shards[0][0] = 0


def test_a_store_that_does_not_fit_is_refused_at_once_and_leaves_the_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        places = allocate(disk / "fits", 9, 100, shard_cells=4)
        write_cells(disk / "fits", ((place, np.ones((100, 100, 3), np.uint8)) for place in places))
        with pytest.raises(
            UserError,
            match=r"pixels needs 0.0027 GB .* but 0.000[0-9]+ GB are free .* make room"
            r" \(`python -m wbc clean` .*\), or lower preprocess\.input_size, and run",
        ):
            allocate(disk / "pixels", 90, 100, shard_cells=4)
        assert list((disk / "pixels").iterdir()) == []
