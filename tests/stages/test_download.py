"""The download stage in a folder of its own: one table for all sources, the same every time."""

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from stages import download
from wbc.cells import COLUMNS, read_table
from wbc.errors import UserError

REPOSITORY = Path(__file__).parents[2]
CELL = {"kind": "folder", "name": "lab", "role": "auto", "path": "data/incoming/lab"}


def picture(width: int, height: int, colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = root / "data/incoming" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_params(root: Path, sources: list[dict[str, object]]) -> None:
    yaml = YAML()
    params = yaml.load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["sources"] = sources
    with (root / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sources_become_one_sorted_table(root: Path) -> None:
    red, blue = picture(30, 20, "red"), picture(7, 9, "blue")
    write(root, {"lab/neu/b.png": red, "lab/eos/broken.jpg": b"no image", "krd/x/BAS/a.png": blue})
    other = {**CELL, "name": "abroad", "role": "external", "path": "data/incoming/krd"}
    write_params(root, [CELL, other])
    download.main()
    table = read_table(root / "data/raw/metadata.csv")
    assert tuple(table.columns) == COLUMNS
    assert table["path"].tolist() == ["abroad/BAS/a.png", "lab/eos/broken.jpg", "lab/neu/b.png"]
    assert table["source"].tolist() == ["abroad", "lab", "lab"]
    assert table["role"].tolist() == ["external", "auto", "auto"]
    assert table["label"].tolist() == ["basophil", "eosinophil", "neutrophil"]
    assert table[["width", "height"]].values.tolist() == [[7, 9], [0, 0], [30, 20]]
    for path, sha256 in zip(table["path"], table["sha256"], strict=True):
        data = (root / "data/raw" / path).read_bytes()
        assert data in (red, blue, b"no image")
        assert hashlib.sha256(data).hexdigest() == sha256


def test_second_run_gives_the_same_bytes_and_forgets_what_is_gone(root: Path) -> None:
    write(root, {"lab/neu/1.png": picture(3, 3, "red"), "lab/mon/2.png": picture(3, 3, "blue")})
    write_params(root, [CELL])
    download.main()
    first = (root / "data/raw/metadata.csv").read_bytes()
    download.main()
    assert (root / "data/raw/metadata.csv").read_bytes() == first
    (root / "data/incoming/lab/mon/2.png").unlink()
    download.main()
    files = [path.name for path in (root / "data/raw").rglob("*") if path.is_file()]
    assert sorted(files) == ["1.png", "metadata.csv"]


def test_masks_are_kept_beside_the_cells(root: Path) -> None:
    write(
        root,
        {
            "krd/class labels.csv": b"Image ID,Categoriy\nImage1,Monocyte\n",
            "krd/Dataset/image/image1.jpg": picture(5, 5, "red"),
            "krd/Dataset/mask/mask1.jpg": picture(5, 5, "white"),
        },
    )
    krd = {"kind": "krd-wbc", "name": "erbil", "role": "train", "path": "data/incoming/krd"}
    write_params(root, [krd])
    download.main()
    (mask,) = read_table(root / "data/raw/metadata.csv")["mask"]
    assert (root / "data/raw" / mask).read_bytes() == picture(5, 5, "white")


def test_source_without_a_cell_names_the_command(root: Path) -> None:
    write(root, {"lab/readme.txt": b"nothing here"})
    write_params(root, [CELL])
    with pytest.raises(UserError, match=r"no cell.*`dvc import-url /your/path data/incoming/lab`"):
        download.main()


def test_mistake_ends_with_a_sentence_and_status_1(root: Path) -> None:
    write_params(root, [CELL])
    result = subprocess.run(
        [sys.executable, "-m", "stages.download"],
        cwd=root,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "dvc import-url /your/path data/incoming/lab" in result.stderr
