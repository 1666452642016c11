"""KRD-WBC: the defects of its table, the pairing of images and masks, the download."""

import logging
from pathlib import Path

import pytest

from tests.kaggle_server import zipped
from tests.loopback import LoopbackServer, RangedFile, send
from wbc import fetching
from wbc.errors import UserError
from wbc.fetching import NoNetwork, Unavailable
from wbc.params import KrdWbcSource
from wbc.sources import krd_wbc
from wbc.sources.krd_wbc import repair

# The defects as published, in the same places: mark, header, letter case, misspelt ids.
TABLE = (
    b"\xef\xbb\xbfImage ID,Categoriy\nImage1,Lymphocyte\nImage2,Neutrophil\nimage3,Basophil\n"
    b"Imaeg405,Neutrophil\n"
)


def source(path: str = "data/incoming/krd") -> KrdWbcSource:
    return KrdWbcSource("krd-wbc", "krd", "external", path)


def make(folder: Path, table: bytes = TABLE, numbers: tuple[int, ...] = (1, 2, 3, 405)) -> Path:
    for number in numbers:
        for word in ("image", "mask"):
            path = folder / "Dataset" / word / f"{word}{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{word} {number}".encode())
    (folder / "class labels.csv").write_bytes(table)
    return folder


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0, 0, 0))
    monkeypatch.delenv("DVC_ROOT", raising=False)


def test_every_known_defect_is_repaired_and_named() -> None:
    labels, repairs = repair(TABLE)
    assert labels == {1: "lymphocyte", 2: "neutrophil", 3: "basophil", 405: "neutrophil"}
    assert repairs == [
        "byte-order mark removed",
        "header 'Categoriy' read as 'Category'",
        "Imaeg405 read as image405",
        "2 ids ImageN read as imageN, as the files are named",
    ]


def test_mended_table_needs_no_repair() -> None:
    assert repair(b"Image ID,Category\r\nimage1,Monocyte\r\n\r\n") == ({1: "monocyte"}, [])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"Image9,Blast\n", "'Image9,Blast'"),
        (b"Cell9,Monocyte\n", "'Cell9,Monocyte'"),
        (b"Image9\n", "'Image9'"),
        (b"Image1,Monocyte\n", "image1 two classes"),
        (b"Image" + b"9" * 5000 + b",Monocyte\n", "'Image999"),
        (b"Image9,Monoc\xffte\n", "cannot be read as a CSV in UTF-8"),
        (b"x" * 200_000, "cannot be read as a CSV in UTF-8"),
    ],
)
def test_rows_beyond_repair_are_named(row: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        repair(TABLE + row)


@pytest.mark.parametrize("wrapped", [False, True])
def test_folder_and_zip(tmp_path: Path, wrapped: bool, caplog: pytest.LogCaptureFixture) -> None:
    folder = make(tmp_path / "data/incoming/krd")
    path = "data/incoming/krd"
    if wrapped:
        path = "data/incoming/krd.zip"
        (tmp_path / path).write_bytes(zipped(folder.parent))
    with caplog.at_level(logging.INFO):
        table = krd_wbc.fetch(source(path), tmp_path / "raw", tmp_path)
    assert "Imaeg405 read as image405" in caplog.text
    assert table["path"].tolist() == [f"image/image{n}.jpg" for n in (1, 2, 3, 405)]
    assert table["mask"].tolist() == [f"mask/mask{n}.jpg" for n in (1, 2, 3, 405)]
    assert table["label"].tolist() == ["lymphocyte", "neutrophil", "basophil", "neutrophil"]
    assert set(table["group"]) == set(table["official_split"]) == {""}
    assert (tmp_path / "raw/mask/mask405.jpg").read_bytes() == b"mask 405"


def test_what_lacks_a_partner_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make(tmp_path / "data/incoming/krd", numbers=(1, 2, 3, 8))
    (folder / "Dataset/mask/mask2.jpg").unlink()
    table = krd_wbc.fetch(source(), tmp_path / "raw", tmp_path)
    assert len(table) == 3
    assert "1 rows of the table without an image: 405" in caplog.text
    assert "1 images without a row in the table: 8" in caplog.text
    assert "1 images without a mask: 2" in caplog.text


def test_folder_without_the_table_is_a_sentence(tmp_path: Path) -> None:
    (make(tmp_path / "data/incoming/krd") / "class labels.csv").unlink()
    with pytest.raises(UserError, match=r"one 'class labels\.csv'.*found 0"):
        krd_wbc.fetch(source(), tmp_path / "raw", tmp_path)


def test_download_is_kept_for_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RangedFile(zipped(make(tmp_path / "tree")), num_cuts=1)
    with LoopbackServer({"/zip": file}) as server:
        monkeypatch.setattr(krd_wbc, "URL", f"{server.url}/zip")
        for target in ("raw", "again"):
            table = krd_wbc.fetch(source("mendeley"), tmp_path / target, tmp_path)
            assert len(table) == 4
        assert len(server.requests) == 2  # the one broken off and the one that resumed it


def test_page_instead_of_a_zip_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer({"/zip": lambda handler: send(handler, b"<html>please log in")}) as server:
        monkeypatch.setattr(krd_wbc, "URL", f"{server.url}/zip")
        with pytest.raises(UserError, match="no zip"):
            krd_wbc.fetch(source("mendeley"), tmp_path / "raw", tmp_path)
    assert not list(tmp_path.rglob("*.zip"))


def test_without_network_the_alternative_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackServer({}) as server:
        monkeypatch.setattr(krd_wbc, "URL", f"{server.url}/zip")
    with pytest.raises(NoNetwork, match=r"dvc import-url /your/krd-wbc\.zip"):
        krd_wbc.fetch(source("mendeley"), tmp_path / "raw", tmp_path)


def test_refusal_of_the_server_names_the_alternative_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackServer({"/zip": lambda handler: send(handler, b"", 403)}) as server:
        monkeypatch.setattr(krd_wbc, "URL", f"{server.url}/zip")
        with pytest.raises(Unavailable, match=r"answers 403.*dvc import-url /your/krd-wbc\.zip"):
            krd_wbc.fetch(source("mendeley"), tmp_path / "raw", tmp_path)
