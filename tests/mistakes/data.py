"""Mistakes in the data that a user brings."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.mistakes.scene import Scene, Seen
from tests.wbc import pictures
from wbc.cells import CLASSES


def missing_source(scene: Scene) -> Seen:
    scene.laboratory()
    shutil.rmtree("data/incoming/lab")
    return scene.stage("download")


def misspelt_class(scene: Scene) -> Seen:
    scene.laboratory()
    Path("data/incoming/lab/monocyte").rename("data/incoming/lab/monozite")
    return scene.stage("download")


def sixth_class(scene: Scene) -> Seen:
    scene.laboratory()
    scene.cells("data/incoming/lab/blast")
    return scene.stage("download")


def moved_class(to: str) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        scene.laboratory()
        Path("data/incoming/lab/monocyte").rename(f"data/incoming/lab/{to}")
        return scene.stage("download")

    return make


def outside(scene: Scene) -> Seen:
    scene.laboratory()
    scene.cells("data/incoming/lab", 1)
    return scene.stage("download")


def empty_source(scene: Scene) -> Seen:
    scene.laboratory(0)
    Path("data/incoming/lab").mkdir(parents=True)
    return scene.stage("download")


def empty_class(scene: Scene) -> Seen:
    """Git and DVC know no empty folders, but a source may have one."""
    scene.laboratory(6, group_pattern="^(s[0-9]+)_")
    for path in Path("data/incoming/lab/basophil").iterdir():
        path.unlink()
    assert scene.stage("download").status == 0
    return scene.stage("split")


def divided(
    num_cells: int, classes: tuple[str, ...] = CLASSES, pattern: str = ""
) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        scene.laboratory(num_cells, classes, **({"group_pattern": pattern} if pattern else {}))
        assert scene.stage("download").status == 0
        return scene.stage("split")

    return make


def with_table(text: str) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        scene.laboratory(table="cells.csv")
        scene.write("data/incoming/lab/cells.csv", text)
        return scene.stage("download")

    return make


def no_table(scene: Scene) -> Seen:
    scene.laboratory(table="cells.csv")
    return scene.stage("download")


def pattern(text: str) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        scene.laboratory(group_pattern=text)
        return scene.stage("download")

    return make


def unreadable(scene: Scene) -> Seen:
    """Every picture is cut off after its first bytes."""
    scene.laboratory()
    for path in Path("data/incoming/lab").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:40])
    assert scene.stage("download").status == 0
    return scene.stage("split")


def many_broken(scene: Scene) -> Seen:
    scene.laboratory(12)
    for path in Path("data/incoming/lab").rglob("s1_*.png"):
        path.write_bytes(path.read_bytes()[:40])
    assert scene.stage("download").status == 0
    assert scene.stage("split").status == 0
    return scene.stage("preprocess")


def linked_loop(scene: Scene) -> Seen:
    """A link back up is walked once: nothing hangs, nothing is counted twice."""
    scene.laboratory()
    Path("data/incoming/lab/monocyte/again").symlink_to(scene.home / "data/incoming/lab")
    return scene.stage("download")


def broken_link(scene: Scene) -> Seen:
    scene.laboratory()
    Path("data/incoming/lab/monocyte/gone.png").symlink_to("/nowhere/gone.png")
    return scene.stage("download")


def no_archive(scene: Scene) -> Seen:
    scene.laboratory(path="data/incoming/lab.zip")
    scene.write("data/incoming/lab.zip", "<!DOCTYPE html><title>Please log in</title>")
    return scene.stage("download")


def locked_archive(scene: Scene) -> Seen:
    scene.laboratory(path="data/incoming/lab.rar")
    scene.write("data/incoming/lab.rar", b"Rar!\x1a\x07\x01\x00" + bytes(100))
    return scene.stage("download")


def archive_for_folder(scene: Scene) -> Seen:
    """An archive in the place of a folder is unpacked."""
    scene.laboratory(path="data/incoming/lab.zip")
    with zipfile.ZipFile("data/incoming/lab.zip", "w") as archive:
        for label in CLASSES:
            archive.writestr(f"{label}/1.png", pictures.encoded(pictures.cell(60, 60, 30, 30)))
    return scene.stage("download")


def archive_beside(scene: Scene) -> Seen:
    scene.laboratory()
    scene.write("data/incoming/lab/monocyte.zip", b"PK\x05\x06" + bytes(18))
    return scene.stage("download")


def corrupted_metadata(scene: Scene) -> Seen:
    scene.laboratory()
    assert scene.stage("download").status == 0
    text = Path("data/raw/metadata.csv").read_text()
    scene.write("data/raw/metadata.csv", text[: len(text) // 2])
    return scene.stage("split")


def metadata_without_column(scene: Scene) -> Seen:
    scene.write("data/raw/metadata.csv", "file;class\na.png;monocyte\n")
    return scene.stage("split")


def too_early(scene: Scene) -> Seen:
    """A stage by hand before the one that it needs."""
    return scene.stage("split")


MAKERS = {
    "a source's folder that is not there": missing_source,
    "a class folder misspelt": misspelt_class,
    "a data set with a sixth class": sixth_class,
    "a class folder dragged into another": moved_class("neutrophil/monocyte"),
    "masks in a class folder": moved_class("neutrophil/mask"),
    "pictures beside the class folders": outside,
    "a source without a picture": empty_source,
    "a class folder empty": empty_class,
    "a class missing in training": divided(6, CLASSES[:4], "^(s[0-9]+)_"),
    "five images in all": divided(1),
    "all images of one smear": divided(6, pattern="^(s)"),
    "a table that is not there": no_table,
    "a table without the columns": with_table("file,class\na.png,monocyte\n"),
    "a table with a column twice": with_table("path,label,label\na.png,monocyte,neutrophil\n"),
    "a table that names absent pictures": with_table("path,label\na.png,monocyte\n"),
    "a table with an unknown label": with_table("path,label\nmonocyte/s0_0.png,blast\n"),
    "a group_pattern without parentheses": pattern("^[^_]+_"),
    "a group_pattern that fits no file": pattern("^(smear[0-9]+)"),
    "pictures that cannot be read at all": unreadable,
    "many broken pictures": many_broken,
    "a link that leads back up": linked_loop,
    "a link that leads nowhere": broken_link,
    "an HTML page instead of an archive": no_archive,
    "an archive of another kind": locked_archive,
    "an archive where a folder is expected": archive_for_folder,
    "an archive beside the class folders": archive_beside,
    "data/raw/metadata.csv cut off": corrupted_metadata,
    "data/raw/metadata.csv overwritten": metadata_without_column,
    "a stage before the one that it needs": too_early,
}
