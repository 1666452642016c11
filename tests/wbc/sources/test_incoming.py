"""Material at hand: what is listed, what is skipped, how it is copied."""

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.kaggle_server import zipped
from wbc.cells import read_table, write_table
from wbc.depth import MAX_DEPTH
from wbc.errors import UserError
from wbc.sources.incoming import Cell, Material, list_files, log_skipped, opened, place


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
    return folder


def test_listing_is_sorted_and_counts_what_it_leaves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "b/2.PNG", "a/1.jpg", "a/1.JPG", "a/notes.txt", "a/.hidden.jpg")
    touch(tmp_path, "__MACOSX/a/._1.jpg", ".git/x.jpg", "Thumbs.db")
    listing = list_files(tmp_path)
    assert [str(path) for path in listing.images] == ["a/1.JPG", "b/2.PNG"]
    assert [str(path) for path in listing.case_duplicates] == ["a/1.jpg"]
    assert [str(path) for path in listing.others] == ["Thumbs.db", "a/notes.txt"]
    assert listing.num_hidden == 1
    with caplog.at_level(logging.INFO):
        log_skipped("lab", listing)
    assert "skipped 1 files whose names differ" in caplog.text
    assert "skipped 2 files that are no images by their extension and 1 hidden" in caplog.text


def test_archives_beside_pictures_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "neu/1.png", "zipped.csv", "monocyte.zip", "x/eos.TAR.gz", "x/bas.rar")
    log_skipped("lab", list_files(tmp_path))
    assert [record.getMessage() for record in caplog.records] == [
        "lab: 3 archives beside pictures are left packed (monocyte.zip, x/bas.rar, x/eos.TAR.gz);"
        " unpack those that hold cells"
    ]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "store", "1.jpg")
    material = touch(tmp_path / "lab", "eos/2.jpg")
    (material / "neu").symlink_to(tmp_path / "store")
    (material / "eos" / "up").symlink_to(material)
    assert [str(path) for path in list_files(material).images] == ["eos/2.jpg", "neu/1.jpg"]


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, who may read all."""
    touch(tmp_path, "neutrophil/s1/1.jpg", "neutrophil/s2/2.jpg")
    closed, real = tmp_path / "neutrophil/s2", os.scandir

    def scandir(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"neutrophil/s2 cannot be read \(Permission denied\)"):
        list_files(tmp_path)


def test_folders_that_lie_too_deep_are_one_sentence(tmp_path: Path) -> None:
    """Also those of an archive in an archive."""
    assert list_files(touch(tmp_path / "lab", "d/" * MAX_DEPTH + "1.jpg")).images
    touch(tmp_path / "lab", "d/" * (MAX_DEPTH + 1) + "1.jpg")
    with pytest.raises(UserError, match=r"lab holds more than 100 folders in each other \(d/d/d/…"):
        list_files(tmp_path / "lab")
    inner = zipped(touch(tmp_path / "inner", "b/" * 60 + "1.jpg"))
    outer = tmp_path / "outer" / ("a/" * 60)
    outer.mkdir(parents=True)
    (outer / "inner.zip").write_bytes(inner)
    (tmp_path / "twice.zip").write_bytes(zipped(tmp_path / "outer"))
    with (
        pytest.raises(UserError, match="more than 100 folders in each other"),
        opened("twice.zip", tmp_path, tmp_path / "raw") as material,
    ):
        list_files(material.folder)
    assert list((tmp_path / "raw").iterdir()) == []


def test_missing_path_names_the_command(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"dvc import-url /your/path data/incoming/lab"),
        opened("data/incoming/lab", tmp_path, tmp_path / "raw"),
    ):
        pass


def packed(folder: Path, *names: str) -> None:
    """Archives in `folder`, with one picture each."""
    touch(folder, *names)
    for number, name in enumerate(names):
        tree = touch(folder.parent / f"tree{number}", f"s1/{number}.jpg")
        (folder / name).write_bytes(zipped(tree))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Train.zip", "Test-A.zip"), ["Test-A/s1/1.jpg", "Train/s1/0.jpg"]),
        (("train/neu.zip", "test/neu.zip"), ["test/neu/s1/1.jpg", "train/neu/s1/0.jpg"]),
        (("test/cells.zip",), ["test/s1/0.jpg"]),
    ],
)
def test_archives_keep_their_folders_and_side_by_side_their_names(
    tmp_path: Path, names: tuple[str, ...], expected: list[str]
) -> None:
    packed(tmp_path / "lab", *names)
    with opened("lab", tmp_path, tmp_path / "raw") as material:
        assert [str(path) for path in list_files(material.folder).images] == expected


def test_archives_of_one_name_are_refused(tmp_path: Path) -> None:
    packed(tmp_path / "lab", "neu.zip", "neu.tar")
    with (
        pytest.raises(UserError, match=r"neu.zip would be unpacked to where another archive was"),
        opened("lab", tmp_path, tmp_path / "raw"),
    ):
        pass


@pytest.mark.parametrize("nested", [False, True])
def test_archives_also_within_a_folder(tmp_path: Path, nested: bool) -> None:
    archive = zipped(touch(tmp_path / "tree", "neu/1.jpg"))
    place_of_zip = tmp_path / ("lab/inner.zip" if nested else "lab.zip")
    place_of_zip.parent.mkdir(exist_ok=True)
    place_of_zip.write_bytes(archive)
    with opened("lab" if nested else "lab.zip", tmp_path, tmp_path / "raw") as material:
        assert material.movable
        assert [str(path) for path in list_files(material.folder).images] == ["neu/1.jpg"]
    assert list((tmp_path / "raw").iterdir()) == []


def test_copies_are_independent_and_lose_only_wrapping_folders(tmp_path: Path) -> None:
    folder = touch(tmp_path / "lab", "w/neu/1.jpg", "w/eos/2.jpg", "w/masks/1.png")
    cells = [
        Cell(PurePosixPath("w/neu/1.jpg"), "neutrophil", mask=PurePosixPath("w/masks/1.png")),
        Cell(PurePosixPath("w/eos/2.jpg"), "eosinophil", "s1", "test"),
    ]
    table = place(cells, Material(folder, movable=False), tmp_path / "raw", "lab")
    assert table.to_dict("list") == {
        "path": ["neu/1.jpg", "eos/2.jpg"],
        "label": ["neutrophil", "eosinophil"],
        "group": ["", "s1"],
        "official_split": ["", "test"],
        "mask": ["masks/1.png", ""],
    }
    copy = tmp_path / "raw/neu/1.jpg"
    assert copy.read_bytes() == b"w/neu/1.jpg"
    assert copy.stat().st_ino != (folder / "w/neu/1.jpg").stat().st_ino


@pytest.mark.parametrize("movable", [False, True])
def test_two_cells_may_share_a_mask(tmp_path: Path, movable: bool) -> None:
    folder = touch(tmp_path / "lab", "neu/1.jpg", "eos/2.jpg", "masks/both.png")
    mask = PurePosixPath("masks/both.png")
    cells = [
        Cell(PurePosixPath("neu/1.jpg"), "neutrophil", mask=mask),
        Cell(PurePosixPath("eos/2.jpg"), "eosinophil", mask=mask),
    ]
    table = place(cells, Material(folder, movable), tmp_path / "raw", "lab")
    assert table["mask"].tolist() == ["masks/both.png"] * 2
    assert (tmp_path / "raw/masks/both.png").read_bytes() == b"masks/both.png"


def test_names_that_are_no_utf8_or_no_line_become_text(tmp_path: Path) -> None:
    folder = touch(
        tmp_path / "lab", os.fsdecode(b"neu/\xe4.jpg"), "neu/a\r\u2028\x85.jpg", "neu/%.jpg"
    )
    cells = [Cell(path, "neutrophil") for path in list_files(folder).images]
    table = place(cells, Material(folder, movable=False), tmp_path / "raw", "lab")
    names = ["neu/%.jpg", "neu/a%0D%E2%80%A8%C2%85.jpg", "neu/%E4.jpg"]
    assert table["path"].tolist() == names
    assert all((tmp_path / "raw" / name).is_file() for name in names)
    write_table(table, tmp_path / "metadata.csv")
    assert read_table(tmp_path / "metadata.csv")["path"].tolist() == names


def test_two_names_that_become_one_are_refused(tmp_path: Path) -> None:
    folder = touch(tmp_path / "lab", os.fsdecode(b"neu/\xff.jpg"), "neu/%FF.jpg")
    cells = [Cell(path, "neutrophil") for path in list_files(folder).images]
    with pytest.raises(
        UserError, match=r"called neu/%FF\.jpg and another would be, .*; rename one"
    ):
        place(cells, Material(folder, movable=False), tmp_path / "raw", "lab")
    assert not (tmp_path / "raw").exists()
