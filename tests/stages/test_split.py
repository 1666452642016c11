"""The stage as DVC runs it: files in, files out."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages import split
from wbc.cells import CLASSES, COLUMNS, read_table, write_table
from wbc.errors import UserError

PARAMS = Path(__file__).parents[2] / "params.yaml"
OUTPUTS = ("split.csv", "duplicates.csv", "report.md", "summary.json")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty cells of noise, one of them in training and in a test, one of them broken."""
    shutil.copy(PARAMS, tmp_path)
    raw = tmp_path / "data/raw"
    random = np.random.default_rng(1)
    rows = []
    for number in range(60):
        path = f"own/{number:02d}.png"
        (raw / "own").mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        coarse.resize((48, 48), Image.Resampling.BICUBIC).save(raw / path)
        part = "test_a" if number >= 50 else "train"
        rows.append((path, CLASSES[number % 5], f"smear{number // 2 % 10}", "own", "auto", part))
    shutil.copy(raw / "own/59.png", raw / "own/04.png")
    (raw / "own/05.png").write_bytes(b"")
    table = pd.DataFrame(rows, columns=list(COLUMNS[:6]))
    write_table(table.assign(sha256="", width=48, height=48, mask=""), raw / "metadata.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_outputs_are_complete_and_the_same_each_time(repository: Path) -> None:
    split.main()
    first = {name: (repository / "data/split" / name).read_bytes() for name in OUTPUTS}
    shutil.rmtree(repository / "data/split")
    split.main()
    assert first == {name: (repository / "data/split" / name).read_bytes() for name in OUTPUTS}
    assert str(repository).encode() not in b"".join(first.values())
    table = read_table(repository / "data/split/split.csv").set_index("path")
    assert list(table.columns) == [*COLUMNS[1:], "split", "reason"]
    assert table.loc["own/05.png", "reason"].startswith("unreadable: ")
    assert table.loc["own/04.png", "reason"] == "exact copy of own/59.png in test_a"
    assert set(table["split"]) == {"", "train", "val", "test_a"}


def test_stop_leaves_the_report_and_refuses(repository: Path) -> None:
    text = (repository / "params.yaml").read_text()
    (repository / "params.yaml").write_text(text.replace("duplicates: drop", "duplicates: stop"))
    with pytest.raises(UserError, match=r"own/59\.png and own/04\.png"):
        split.main()
    assert all((repository / "data/split" / name).is_file() for name in OUTPUTS)
    assert "own/04.png" in (repository / "data/split/duplicates.csv").read_text()
