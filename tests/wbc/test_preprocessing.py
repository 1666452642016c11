"""From files to the store: good ones in, broken ones in quarantine with their reason."""

import tracemalloc
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.wbc.pictures import cell
from wbc.cells import read_table
from wbc.errors import UserError
from wbc.imaging import Framing, Prepared, prepare
from wbc.params import Preprocess
from wbc.pixels import open_store
from wbc.preprocessing import fill_store


def settings(**changes: object) -> Preprocess:
    values = {"input_size": 32, "crop": "none", "context": 1.5, "max_broken_share": 0.5}
    more = {"shard_cells": 3, "backend": "loky"}
    return Preprocess(**{**values, **more, **changes})  # type: ignore[arg-type]


def raw(folder: Path, num_good: int = 5, broken: tuple[str, ...] = ()) -> pd.DataFrame:
    """Files and their rows of split.csv; a broken one holds text, and one more split refused."""
    folder.mkdir()
    names = [f"{i}.png" for i in range(num_good)]
    for i, name in enumerate(names):
        picture = cell(100 + 10 * i, 90, 50, 45)
        picture.save(folder / name)
    for name in broken:
        (folder / name).write_text("no picture")
    paths = [*names, *broken, "early.png"]
    splits = ["val" if i % 2 else "train" for i in range(len(paths) - 1)] + [""]
    reasons = [""] * (len(paths) - 1) + ["unreadable: empty file"]
    return pd.DataFrame(
        {
            "path": paths,
            "label": "neutrophil",
            "sha256": [f"{i:064x}" for i in range(len(paths))],
            "mask": "",
            "split": splits,
            "reason": reasons,
        }
    )


def reasons(quarantine: pd.DataFrame) -> dict[str, str]:
    return dict(zip(quarantine["path"], quarantine["reason"], strict=True))


def test_good_files_are_stored_and_broken_ones_listed(tmp_path: Path) -> None:
    cells = raw(tmp_path / "raw", broken=("bad.png",))
    _, quarantine = fill_store(cells, tmp_path / "raw", tmp_path / "out", settings())
    store = open_store(tmp_path / "out")
    assert set(store.table["path"]) == {f"{i}.png" for i in range(5)}
    assert reasons(quarantine) == {
        "bad.png": "not an image",
        "early.png": "empty file",
    }
    row = int(store.table.index[store.table["path"] == "0.png"][0])
    white_padded = Image.open(tmp_path / "raw" / "0.png")
    middle = np.asarray(white_padded.resize((32, 29)))[14, 16]
    assert np.abs(store.read([row])[0][16, 16].astype(int) - middle).max() < 8


def test_the_store_does_not_depend_on_how_work_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = raw(tmp_path / "raw", num_good=7)
    names = []
    for chunk, share, out in ((1, 1, "a"), (3, 4, "b"), (100, 500, "c")):
        monkeypatch.setattr("wbc.preprocessing.CHUNK", chunk)
        monkeypatch.setattr("wbc.spreading.CELLS_A_WORKER", share)
        fill_store(cells, tmp_path / "raw", tmp_path / out, settings())
        names.append(open_store(tmp_path / out).settings["sha256"])
    assert len(set(names)) == 1


def test_too_many_broken_files_stop_with_the_first_named(tmp_path: Path) -> None:
    cells = raw(tmp_path / "raw", num_good=2, broken=("bad.png", "worse.png"))
    with pytest.raises(UserError, match=r"3 of 5 files \(60\.0%\).*data/raw/bad\.png"):
        fill_store(cells, tmp_path / "raw", tmp_path / "out", settings())


@pytest.mark.parametrize(
    ("split", "label", "sentence"),
    [
        ("train", "neutrophil", "the set train has no cell"),
        ("val", "neutrophil", "the set val has no cell"),
        ("lab", "neutrophil", "the set lab has no cell"),
        ("train", "basophil", "the training set has no basophil"),
    ],
)
def test_a_set_or_class_that_is_lost_stops_and_the_list_is_there(
    tmp_path: Path, split: str, label: str, sentence: str
) -> None:
    cells = raw(tmp_path / "raw", num_good=6, broken=("bad.png", "worse.png"))
    bad = cells["path"].isin(["bad.png", "worse.png"])
    other = cells["split"].replace(split, "val" if split == "train" else "train")
    cells["split"] = other if label == "neutrophil" else cells["split"]
    cells.loc[bad, ["split", "label"]] = split, label
    with pytest.raises(UserError, match=rf"{sentence}, .*quarantine\.csv says why.*data\.sources"):
        fill_store(cells, tmp_path / "raw", tmp_path / "out", settings())
    listed = read_table(tmp_path / "out" / "quarantine.csv")
    assert set(listed["path"]) == {"bad.png", "worse.png", "early.png"}


def test_memory_does_not_grow_with_the_number_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored square takes 12 kB; a cell's rows in the tables may take a fraction of that."""
    monkeypatch.setattr("wbc.preprocessing.CHUNK", 4)
    one = raw(tmp_path / "raw", num_good=1).iloc[:1]
    peaks = []
    for number in (16, 16, 272):  # the first only loads modules
        cells = pd.concat([one] * number, ignore_index=True)
        tracemalloc.start()
        with joblib.parallel_config(backend="sequential"):
            fill_store(cells, tmp_path / "raw", tmp_path / f"{number}", settings(input_size=64))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 256 * 64 * 64 * 3 / 4


def test_a_vanished_file_is_quarantined(tmp_path: Path) -> None:
    cells = raw(tmp_path / "raw")
    (tmp_path / "raw" / "1.png").unlink()
    _, quarantine = fill_store(cells, tmp_path / "raw", tmp_path / "out", settings())
    assert (
        "No such file" in dict(zip(quarantine["path"], quarantine["reason"], strict=True))["1.png"]
    )


def test_crop_cell_says_where_it_found_none(tmp_path: Path) -> None:
    cells = raw(tmp_path / "raw", num_good=2)
    Image.new("RGB", (60, 60), (240, 228, 214)).save(tmp_path / "raw" / "0.png")
    fill_store(cells, tmp_path / "raw", tmp_path / "out", settings(crop="cell"))
    table = read_table(tmp_path / "out" / "index.csv").set_index("path")
    assert dict(table["located"]) == {"0.png": False, "1.png": True}


def test_the_framing_is_as_asked_and_recorded(tmp_path: Path) -> None:
    cells = raw(tmp_path / "raw", num_good=3)
    fill_store(cells, tmp_path / "raw", tmp_path / "out", settings(crop="cell", context=2.0))
    store = open_store(tmp_path / "out")
    framing = Framing(32, "cell", 2.0)
    assert Framing.of(store.settings) == framing
    for row, path in enumerate(store.table["path"]):
        expected = prepare((tmp_path / "raw" / path).read_bytes(), framing)
        assert (store.read([row])[0] == expected.pixels).all()


def test_masks_are_needed_for_crop_mask_and_used(tmp_path: Path) -> None:
    cells = raw(tmp_path / "raw", num_good=2)
    mask = Image.new("L", (100, 90))
    mask.paste(255, (40, 35, 60, 55))
    mask.save(tmp_path / "raw" / "mask.png")
    cells.loc[cells["path"] == "0.png", "mask"] = "mask.png"
    cells.loc[cells["path"] == "1.png", "split"] = "train"
    _, quarantine = fill_store(
        cells, tmp_path / "raw", tmp_path / "out", settings(crop="mask", max_broken_share=1.0)
    )
    assert "mask" in dict(zip(quarantine["path"], quarantine["reason"], strict=True))["1.png"]
    assert set(open_store(tmp_path / "out").table["path"]) == {"0.png"}


def test_masks_are_not_even_opened_without_crop_mask(tmp_path: Path) -> None:
    cells = raw(tmp_path / "raw", num_good=2)
    cells.loc[cells["path"] == "0.png", "mask"] = "gone.png"
    fill_store(cells, tmp_path / "raw", tmp_path / "out", settings(crop="cell"))
    assert set(open_store(tmp_path / "out").table["path"]) == {"0.png", "1.png"}


def test_one_thread_a_process_resizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the number is as it was before, since results of training depend on it."""
    seen = []

    def watched(*arguments: Any) -> Prepared:
        seen.append(torch.get_num_threads())
        return prepare(*arguments)

    monkeypatch.setattr("wbc.preprocessing.prepare", watched)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        fill_store(raw(tmp_path / "raw"), tmp_path / "raw", tmp_path / "out", settings())
        assert set(seen) == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
