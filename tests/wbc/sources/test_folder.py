"""Folder sources: class folders in their variants, the CSV, the group pattern, the mistakes."""

import logging
import unicodedata
from pathlib import Path, PurePosixPath

import pandas as pd
import pytest

from tests.kaggle_server import zipped
from wbc.errors import UserError
from wbc.params import FolderSource
from wbc.sources import collect, folder
from wbc.sources.folder import cells_of_folders, with_groups
from wbc.sources.incoming import Cell


def make(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / "data/incoming/lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root / "data/incoming/lab"


def source(path: str = "data/incoming/lab", table: str = "", pattern: str = "") -> FolderSource:
    return FolderSource("folder", "lab", "auto", path, table, pattern)


def fetch(root: Path, source: FolderSource) -> pd.DataFrame:
    return folder.fetch(source, root / "raw", root)


def cells(*names: str) -> list[tuple[str, str]]:
    found = cells_of_folders([PurePosixPath(name) for name in names], "data/incoming/lab")
    return [(cell.label, cell.official_split) for cell in found]


def test_class_folders_with_wrapping_and_nested_ones() -> None:
    assert cells("lab/x/NEU/1.jpg", "lab/x/eosinophils/deep/er/2.jpg") == [
        ("neutrophil", ""),
        ("eosinophil", ""),
    ]


def test_official_folders_and_validation_as_training(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = cells("train/neu/1.jpg", "val/neu/2.jpg", "test/neu/3.jpg", "test/test/mon/4.jpg")
    assert found == [
        ("neutrophil", "train"),
        ("neutrophil", "train"),
        ("neutrophil", "test"),
        ("monocyte", "test"),
    ]
    assert "1 cells of a validation folder count as training" in caplog.text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("neutrophil/segmented/s7/1.jpg", ("neutrophil", "")),
        ("Train/Train/neutrophil/neutrophils/1.jpg", ("neutrophil", "train")),
        ("neutrophil/Test-B/s7/1.jpg", ("neutrophil", "test_b")),
        ("training/test/monocyte/slide/images/1.jpg", ("monocyte", "test")),
        ("val/lymphocyte/train/1.jpg", ("lymphocyte", "train")),
    ],
)
def test_all_folders_above_an_image_count(name: str, expected: tuple[str, str]) -> None:
    assert cells("eos/1.jpg", "neutrophil/band/2.jpg", name)[2] == expected


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ("neutrophil/1.jpg", "neutrophil/monocyte/2.jpg"),
            "neutrophil/monocyte names two classes, 'neutrophil' (neutrophil) and 'monocyte' "
            "(monocyte); move its images to where they belong, rename the folder that means none",
        ),
        (("Band1/neutrophil/1.jpg", "Band1/monocyte/2.jpg"), "Band1/monocyte names two classes"),
        (("train/neu/1.jpg", "train/neu/test/2.jpg"), "names two parts of a division, 'train'"),
        (
            ("neu/1.jpg", "mon/mask/1.jpg"),
            "in mon/mask would count as cells, but the folder 'mask'",
        ),
        (("neu/1.jpg", "mon/s1/nuclei_segmentation/1.jpg"), "'nuclei_segmentation' says that they"),
        (("neutrophil/1.jpg", "seg/1.jpg", "mon/1.jpg"), "'seg' may hold segmented neutrophils or"),
        (("neutrophil/1.jpg", "neutrophil/seg/1.jpg", "mon/1.jpg"), "'seg' may hold"),
    ],
)
def test_folders_that_contradict_each_other_are_named(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError) as error:
        cells(*names)
    assert words in str(error.value)


def test_a_wrapping_folder_that_looks_like_a_class_labels_nothing_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert cells("Band1/s1/1.jpg", "Band1/s2/2.jpg") == [("neutrophil", "")] * 2
    assert "all 2 cells are taken for neutrophils, by the folders Band1; if one" in caplog.text


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (("neu/1.jpg", "erythroblast/2.jpg"), "the folder 'erythroblast'"),
        (("neu/1.jpg", "2.jpg"), "2.jpg outside a class folder"),
        (("train/neu/1.jpg", "test/ig/1.jpg"), "the folder 'ig'"),
        (("1.jpg", "2.jpg"), "1.jpg outside a class folder"),
    ],
)
def test_unknown_folder_is_named_with_the_five(names: tuple[str, ...], named: str) -> None:
    with pytest.raises(UserError) as error:
        cells(*names)
    assert named in str(error.value)
    assert "neutrophil, lymphocyte, monocyte, eosinophil, basophil" in str(error.value)


def test_folder_and_zip_give_the_same_table(tmp_path: Path) -> None:
    tree = make(tmp_path, {"neu/1.jpg": b"one", "eos/2.png": b"broken", "eos/notes.txt": b""})
    (tmp_path / "data/incoming/lab.zip").write_bytes(zipped(tree.parent))
    first = folder.fetch(source(), tmp_path / "a", tmp_path)
    second = folder.fetch(source("data/incoming/lab.zip"), tmp_path / "b", tmp_path)
    pd.testing.assert_frame_equal(first, second)
    assert (tmp_path / "b/neu/1.jpg").read_bytes() == b"one"
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["eos", "neu"]
    assert (tree / "neu/1.jpg").is_file(), "the user's own file was moved away"


def test_group_pattern() -> None:
    found = with_groups(
        [
            Cell(PurePosixPath("neu/s1_1.jpg"), "neutrophil"),
            Cell(PurePosixPath("neu/s2_1.jpg"), "neutrophil", "given"),
            Cell(PurePosixPath("neu/x.jpg"), "neutrophil"),
            Cell(PurePosixPath("neu/s\udcff_1.jpg"), "neutrophil"),
        ],
        r"^(s.+)_",
        "lab",
    )
    assert [cell.group for cell in found] == ["s1", "given", "", "s%FF"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "no regular expression"), ("^s", "parentheses"), (r"^(z\d)", "fits no file name")],
)
def test_wrong_group_pattern_is_a_sentence(pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_groups([Cell(PurePosixPath("neu/s1_1.jpg"), "neutrophil")], pattern, "lab")


def test_smears_that_only_case_tells_apart_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "path,label,group\na.jpg,neu,Köln 1\nb.jpg,mon,KÖLN 1\nc.jpg,mon,Bonn 1\n"
    make(tmp_path, {"a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"3", "t.csv": text.encode()})
    table = collect([source(table="t.csv")], tmp_path / "raw", tmp_path)
    assert list(table["group"]) == ["Köln 1", "KÖLN 1", "Bonn 1"]
    (said,) = (r.getMessage() for r in caplog.records if "different smears" in r.getMessage())
    assert said.startswith("source lab: KÖLN 1, Köln 1 count as different smears")


def test_an_umlaut_of_one_or_two_signs_is_the_same_name(tmp_path: Path) -> None:
    """As Linux and macOS write `ü` in the names of files; a spreadsheet writes one sign."""
    one, two = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))
    found = [Cell(PurePosixPath(f"neu/{name}_1.jpg"), "neutrophil") for name in (one, two)]
    assert [cell.group for cell in with_groups(found, "^([a-zA-Zü]+)_", "lab")] == [one, one]

    text = f"path,label,group,mask\n{one}.jpg,neu,{one},{one}.png\nx.jpg,mon,{two},\n"
    make(tmp_path, {f"{two}.jpg": b"1", f"{two}.png": b"2", "x.jpg": b"3", "t.csv": text.encode()})
    table = collect([source(table="t.csv")], tmp_path / "raw", tmp_path)
    assert (list(table["group"]), list(table["mask"])) == ([one, one], [f"lab/{two}.png", ""])


@pytest.mark.parametrize(
    "text",
    [
        "path,label,group,split\na/1.jpg,NEU,s1,train\na/2.jpg,Monocytes,,Test\n",
        "\ufeffPath;Label;Group;Split\r\na\\1.jpg;neutrophil;s1;val\r\na/2.jpg;mono;;test\r\n",
        "sep=;\r\npath;label;group;split;;\r\na/1.jpg;neu;s1;train;;\r\na/2.jpg;mono;;test\r\n;;;\r\n",
        "label\tpath\tsplit\tgroup\nneu\ta/1.jpg\ttrain\ts1\nmono\ta/2.jpg\ttest\t\n",
    ],
)
def test_table_in_its_variants(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    files = {"sub/a/1.jpg": b"1", "sub/a/2.jpg": b"2", "sub/a/unused.jpg": b"3"}
    make(tmp_path, files | {"sub/cells.csv": text.encode()})
    with caplog.at_level(logging.INFO):
        table = fetch(tmp_path, source(table="sub/cells.csv"))
    assert table.drop(columns="mask").to_dict("list") == {
        "path": ["1.jpg", "2.jpg"],
        "label": ["neutrophil", "monocyte"],
        "group": ["s1", ""],
        "official_split": ["train", "test"],
    }
    assert "skipped 1 images that sub/cells.csv does not name" in caplog.text


def test_table_may_name_masks_and_leave_columns_out(tmp_path: Path) -> None:
    files = {
        "i/1.jpg": b"1",
        "m/1.png": b"m",
        "cells.csv": b"path,label,mask\ni/1.jpg,neu,m/1.png\n",
    }
    make(tmp_path, files)
    table = fetch(tmp_path, source(table="cells.csv"))
    assert table.to_dict("records") == [
        {
            "path": "i/1.jpg",
            "label": "neutrophil",
            "group": "",
            "official_split": "",
            "mask": "m/1.png",
        }
    ]
    assert (tmp_path / "raw/m/1.png").read_bytes() == b"m"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,class\n1.jpg,neu\n", "columns path and label"),
        ("path,label\nnone.jpg,neu\n", r"names 1 images that are not in .*none\.jpg"),
        ("path,label\n../1.jpg,neu\n", "not in data/incoming/lab"),
        ("path,label\n1.jpg,blast\n", "label 'blast'"),
        ("path,label,split\n1.jpg,neu,fold3\n", "split 'fold3'"),
        ("path,label\n1.jpg,neu\n1.jpg,eos\n", r"1\.jpg twice"),
        ("path,label\n1.jpg,neu,a,b\n2.jpg,n\n", "cannot be read as a CSV|not in data/incoming"),
        ("", "cannot be read as a CSV"),
        ("label,Label ,path\nneu,eos,1.jpg\n", "has the column label twice"),
        ("path,label,label\n1.jpg,neu,eos\n", "has the column label twice"),
        ("path,label\n,neu\n", r"names 1 images that are not in .*\(no path\)"),
        ("path,label,split\n1.jpg\n", "label ''"),
    ],
)
def test_wrong_table_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    make(tmp_path, {"1.jpg": b"1", "cells.csv": text.encode()})
    with pytest.raises(UserError, match=message):
        fetch(tmp_path, source(table="cells.csv"))


def test_table_of_another_encoding_or_place_is_a_sentence(tmp_path: Path) -> None:
    make(tmp_path, {"1.jpg": b"1", "cells.csv": "path,label\nä.jpg,neu".encode("latin-1")})
    with pytest.raises(UserError, match="UTF-8"):
        fetch(tmp_path, source(table="cells.csv"))
    for place in ("none.csv", "x" * 300, "y/" * 3000, "../lab/cells.csv", "/etc/passwd"):
        with pytest.raises(UserError, match="give its path relative"):
            fetch(tmp_path, source(table=place))


def test_a_path_that_no_file_can_have_is_a_sentence(tmp_path: Path) -> None:
    make(tmp_path, {"1.jpg": b"1"})
    with pytest.raises(UserError, match="cannot be looked at \\(File name too long\\); mend that"):
        fetch(tmp_path, source(path="data/incoming/" + "x" * 300))
