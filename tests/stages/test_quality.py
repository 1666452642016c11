"""The stage: files in, the same files out each time, nothing of this machine in them."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages import quality
from tests.wbc.stores import make_store
from wbc.cells import read_table, write_table
from wbc.split_report import PAIR_COLUMNS

NAMES = ("issues.csv", "issues.html", "summary.json")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one wrong label, and a conflict whose pictures are in data/raw only."""
    store = make_store(tmp_path / "data/pixels", {"train": 12, "val": 4})
    index = store.table.copy()
    index.loc[0, "label"] = "basophil"
    write_table(index, tmp_path / "data/pixels/index.csv")
    raw = tmp_path / "data/raw"
    raw.mkdir(parents=True)
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(raw / "left.png")
    (raw / "broken.png").write_bytes(b"")
    row = ("left.png", "broken.png", "exact", 0, "monocyte", "basophil", "train", "train", "")
    write_table(
        pd.DataFrame([row], columns=list(PAIR_COLUMNS)), tmp_path / "data/split/duplicates.csv"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_doubts_become_a_table_and_a_page_the_same_each_time(repository: Path) -> None:
    quality.main()
    first = {name: (repository / "quality" / name).read_bytes() for name in NAMES}
    shutil.rmtree(repository / "quality")
    quality.main()
    assert first == {name: (repository / "quality" / name).read_bytes() for name in NAMES}
    assert str(repository).encode() not in b"".join(first.values())
    table = read_table(repository / "quality/issues.csv")
    assert table.loc[0, "kind"] == "label conflict" and table.loc[0, "path"] == "left.png"
    assert table.loc[1, "path"] == "train/neutrophil/0.png"
    assert table.loc[1, "suggested"] == "neutrophil"
    page = first["issues.html"].decode()
    assert page.count("(no picture)") == 1 and page.count("<img") == len(table)
