"""The names that folders and tables give to classes and splits."""

from pathlib import PurePosixPath

import pytest

from wbc.sources.labels import doubtful, is_mask, is_validation, label_of, split_of, wrapping


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Neutrophil", "neutrophils", "NEU", "SNE", "BNE", "Band", "1_neutrophil"), "neutrophil"),
        (("Segmented_Neutrophils", "band neutrophil", "NeutrophilBand", "PMN"), "neutrophil"),
        (("Lymphocyte", "LYMPHOCYTES", "lym", "LY", "typical lymphocyte"), "lymphocyte"),
        (("Monocyte", "monocytes", "MON", "mono"), "monocyte"),
        (("Eosinophil", "EOS", "01. Eosinophils", "eosinophile"), "eosinophil"),
        (("Basophil", "BAS", "basophiles", "baso"), "basophil"),
        (("ig", "erythroblast", "images", "Mixed neutrophil lymphocyte", "", "7"), None),
        (("atypical lymphocyte", "eosinophil_train", "neutrophil?", "LY ?"), None),
    ],
)
def test_label_of(names: tuple[str, ...], expected: str | None) -> None:
    assert {name: label_of(name) for name in names} == dict.fromkeys(names, expected)


def test_is_mask() -> None:
    masks = ("mask", "Masks", "NucleusMasks", "seg_mask", "Ground Truth Segmentation", "segments")
    others = ("segmented", "segmented_neutrophil", "SEG", "Segovia", "Maskell", "images", "3")
    assert [is_mask(name) for name in (*masks, *others)] == [True] * 6 + [False] * 7


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ({"neutrophil", "seg", "monocyte"}, "seg"),
        ({"NEU", "Segmented"}, "Segmented"),
        ({"neutrophil", "seg", "band"}, None),
        ({"neutrophil", "segmented", "banded"}, None),
        ({"SEG", "LYM", "MON"}, None),
        ({"neutrophil", "segmented_neutrophil"}, None),
    ],
)
def test_doubtful(folders: set[str], expected: str | None) -> None:
    assert doubtful(folders) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Train", "train"),
        ("VAL", "train"),
        ("validation", "train"),
        ("test", "test"),
        ("Test-A", "test_a"),
        ("TestB", "test_b"),
        ("images", None),
        ("Neutrophil", None),
    ],
)
def test_split_of(name: str, expected: str | None) -> None:
    assert split_of(name) == expected
    assert is_validation(name) == (name in ("VAL", "validation"))


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("a/b/train/neu/1.jpg", "a/b/test/neu/1.jpg"), ("a", "b")),
        (("train/neu/1.jpg", "train/neu/2.jpg"), ()),
        (("lab/neu/1.jpg",), ("lab",)),
        (("1.jpg", "lab/neu/1.jpg"), ()),
        ((), ()),
    ],
)
def test_wrapping(paths: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert wrapping([PurePosixPath(path) for path in paths]) == expected
