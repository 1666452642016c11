"""The many names of the five classes and of the usual splits, in folders and tables."""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from wbc.cells import CLASSES

_STEMS = {
    "neutrophil": "neu neut neutro ne nt ngs ngb sne bne seg segs segmented band bands pmn",
    "lymphocyte": "lym lymph lympho ly lyt",
    "monocyte": "mon mono mo",
    "eosinophil": "eos eosino eo eosinophile",
    "basophil": "bas baso ba basophile",
}
_ADJECTIVES = ("segmented", "band", "banded", "typical", "mature", "granulocyte", "cell")
_BANDS = {"band", "bands", "banded", "bne", "ngb"}
_MASK = re.compile(r"mask(s|ed)?|seg(s|ment[a-z]*)?")
_SPLITS = {
    "train": "train",
    "training": "train",
    "traindata": "train",
    "val": "train",
    "valid": "train",
    "validation": "train",
    "dev": "train",
    "test": "test",
    "testing": "test",
    "testdata": "test",
    "testa": "test_a",
    "testb": "test_b",
}
_LABELS = {
    synonym: label for label in CLASSES for synonym in (label, f"{label}s", *_STEMS[label].split())
} | {f"{label}es": label for label in CLASSES}


def label_of(name: str) -> str | None:
    """The class that `name` means, or None: `Neutrophils`, `1_EOS`, `band neutrophil`, `LY`, ...

    Whoever wrote `neutrophil?` was not sure: no class.
    """
    if "?" in name:
        return None
    words = _words(name)
    whole = "".join(words)
    if whole in _LABELS:
        return _LABELS[whole]
    meaning = [word for word in words if word.removesuffix("s") not in _ADJECTIVES]
    labels = {_LABELS.get(word) for word in meaning}
    return labels.pop() if len(labels) == 1 else None


def split_of(name: str) -> str | None:
    """train | test | test_a | test_b for a folder's or column's word, or None if it is no split.

    Validation counts as training: the pipeline draws its own from the training cells.
    """
    return _SPLITS.get(re.sub("[^a-z]", "", name.lower()))


def is_validation(name: str) -> bool:
    """Whether `split_of` turned validation into training."""
    return re.sub("[^a-z]", "", name.lower()) in ("val", "valid", "validation", "dev")


def is_mask(name: str) -> bool:
    """Whether a folder's name says that masks lie in it: `mask`, `NucleusMasks`, `segmentation`."""
    return label_of(name) is None and any(_MASK.fullmatch(word) for word in _words(name))


def doubtful(folders: Iterable[str]) -> str | None:
    """The one of all folders of a source, called `seg`, of which its name does not say enough.

    Segmented neutrophils lie in it, or the segmentations (masks) of cells: where neutrophils have
    another folder and bands have none.
    """
    words = {name: _words(name) for name in folders}
    bare = {name for name in words if "".join(words[name]) in ("seg", "segs", "segmented")}
    others = {name for name in words if name not in bare and label_of(name) == "neutrophil"}
    has_bands = any(_BANDS & set(found) for found in words.values())
    return min(bare) if bare and others and not has_bands else None


def _words(name: str) -> list[str]:
    return re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())


def wrapping(images: Sequence[PurePosixPath]) -> tuple[str, ...]:
    """The folders that all images lie in and that mean nothing: neither a class nor a split."""
    if not images:
        return ()
    common: list[str] = []
    for names in zip(*(path.parts[:-1] for path in images), strict=False):
        if len(set(names)) > 1 or label_of(names[0]) or split_of(names[0]):
            break
        common.append(names[0])
    return tuple(common)
