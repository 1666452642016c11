"""Tables and folders that name cells: rows of the five classes, or one sentence."""

import csv
import io
import tempfile
from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.bounds import bounded
from tests.fuzz.mutations import mutated
from tests.fuzz.profile import inputs
from wbc.cells import CLASSES
from wbc.labelled import draw
from wbc.params import FolderSource
from wbc.reviewing import journal
from wbc.reviewing.queue import read_run
from wbc.sources import folder, krd_wbc, raabin

FILES: Final = ("Neutrophil/1.jpg", "Neutrophil/2.jpg", "mono/3.png", "mono/ä 4.png", "m/3.png")
PATHS: Final = (
    *FILES, "neutrophil/1.jpg", "Neutrophil\\1.jpg", "./mono/3.png", "../outside.jpg",
    "/etc/passwd", "", " ", "..", "Neutrophil", "x" * 300, "a\0b", "=cmd()", "Neutrophil/1.jpg ",
)  # fmt: skip
LABELS: Final = (
    *CLASSES, "Neu", "EOS", "band neutrophil", "blast", "", "1", "neutrophil monocyte", "ÄÖ",
    "None", "nan", "x" * 500,
)  # fmt: skip
HEADERS: Final = (
    ["path", "label"], ["path", "label", "group", "split", "mask"], ["Path", " LABEL ", "split"],
    ["path", "path", "label"], ["label", "Label", "path"], ["file", "class"], ["path"], [],
    ["path", "label", "group", "Group"],
)  # fmt: skip
TOKENS: Final = (
    b'"',
    b"'",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b'""',
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A CSV with rows that are too long or short, odd separators, quotes and encodings."""
    header = draw(st.sampled_from(HEADERS))
    buffer = io.StringIO()
    writer = csv.writer(
        buffer,
        delimiter=draw(st.sampled_from((",", ",", ";", "\t", "|"))),
        lineterminator=draw(st.sampled_from(("\n", "\r\n", "\r"))),
        quoting=draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))),
    )
    writer.writerow(header)
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=4)):
        row = [path, draw(st.sampled_from(LABELS)), draw(st.sampled_from(("", "s1", "s\n2")))]
        row += [draw(st.sampled_from(("", "train", "test", "nope"))), draw(st.sampled_from(PATHS))]
        writer.writerow(row[: max(0, len(header) + draw(st.sampled_from((0, 0, 0, -1, 1))))])
    text = buffer.getvalue()
    coding = draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "latin-1")))
    return text.encode(coding, "replace")


def material(area: Path) -> Path:
    """A folder source's files, made once."""
    lab = area / "data" / "incoming" / "lab"
    for name in FILES:
        (lab / name).parent.mkdir(parents=True, exist_ok=True)
        (lab / name).write_bytes(b"x")
    return lab


def source(**options: str) -> FolderSource:
    return FolderSource("folder", "lab", "auto", "data/incoming/lab", **options)


SEED: Final = b"path,label,group,split\n" + b"".join(
    f"{name},{label},s{number},train\n".encode()
    for number, (name, label) in enumerate(
        zip(FILES, ("neu", "neu", "mono", "mono", "EO"), strict=True)
    )
)


@given(data=tables() | mutated([SEED], TOKENS), pattern=st.sampled_from(("", "^(.)", "(?:(x)|.)")))
@inputs(40)
def test_any_table_names_cells_or_is_refused(data: bytes, pattern: str, area: Path) -> None:
    lab = material(area)
    (lab / "cells.csv").write_bytes(data)
    with tempfile.TemporaryDirectory(dir=area) as target, bounded(Path(target)):
        rows = folder.fetch(source(table="cells.csv", group_pattern=pattern), Path(target), area)
        assert set(rows["label"]) <= set(CLASSES) and rows["path"].is_unique
        assert all((Path(target) / path).is_file() for path in rows["path"])
        assert rows.map(lambda value: isinstance(value, str)).all(axis=None)


@given(
    path=st.sampled_from(
        ("lab", "lab/../../x", "x" * 300, "a\0b", "lab/cells.csv", "ä", "lab/" * 300)
    ),
    table=st.sampled_from(
        ("", "x" * 300, "../x.csv", "/etc/passwd", "a\0b", "Neutrophil", "y/" * 300)
    ),
)
@inputs(10)
def test_any_place_is_read_or_refused(path: str, table: str, area: Path) -> None:
    material(area)
    where = FolderSource("folder", "lab", "auto", f"data/incoming/{path}", table)
    with tempfile.TemporaryDirectory(dir=area) as target, bounded(Path(target)):
        folder.fetch(where, Path(target), area)


KRD: Final = b"\xef\xbb\xbfImage,Catagory\nImage1,Neutrophil\nimage02,Lymphocyte\nImge3,EO\n"


@given(data=mutated([KRD, b""], (*TOKENS, b"image" + b"9" * 5000 + b",mono\n", b"x" * 200_000)))
@inputs(20)
def test_any_krd_table_is_labels_or_a_sentence(data: bytes, area: Path) -> None:
    with bounded(area / "nothing"):
        labels, _ = krd_wbc.repair(data)
        assert set(labels.values()) <= set(CLASSES)


PARTS: Final = st.sampled_from(
    ("Train", "test-a", "TestB", "val", "Neutrophil", "EOS", "x", "..", "blast", "\udcff", "ba so")
)


@given(
    paths=st.lists(
        st.lists(PARTS, max_size=4).map(lambda parts: PurePosixPath(*parts, "95-8-10-1_4_1.jpg")),
        max_size=6,
    )
)
@inputs(15)
def test_any_folders_are_cells_or_a_sentence(paths: list[PurePosixPath], area: Path) -> None:
    with bounded(area / "nothing"):
        cells = folder.cells_of_folders(paths, "lab")
        assert {cell.label for cell in cells} <= set(CLASSES)
    with bounded(area / "nothing", counts=False):
        cells = raabin.cells_of_layout(paths, "raabin", "data/incoming/raabin")
        assert {cell.official_split for cell in cells} >= {"train", "test_a"}


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(CLASSES), st.sampled_from(("", "a", "b", "c"))), max_size=40
    ),
    per_class=st.integers(1, 30),
)
@inputs(15)
def test_labelled_cells_and_the_rest_are_apart(
    rows: list[tuple[str, str]], per_class: int, area: Path
) -> None:
    cells = pd.DataFrame(rows, columns=["label", "group"], dtype=object)
    cells["path"] = [f"{number}.jpg" for number in range(len(rows))]
    cells["sha256"] = [f"{number % 29}" for number in range(len(rows))]  # some are copies
    with bounded(area / "nothing"):
        drawn = draw(cells, per_class, 1)
        assert not set(drawn.labelled) & set(drawn.rest)
        for column in ("group", "sha256"):
            learned = set(cells[column].iloc[drawn.labelled]) - {""}
            assert not learned & set(cells[column].iloc[drawn.rest])


RUN: Final = b"""{"format": 1, "folder": "/a", "models": ["m"], "framing":
 {"size": 64, "crop": "cell", "context": 1.5}, "again": "x", "queue": [{"name":
 "a/0.png", "file": "/a/0.png", "slide": "a",
 "reason": "uncertain", "answer": "monocyte", "probabilities": {"monocyte": 1.0}, "others": {}}]}"""
ENTRY: Final = (
    b"""{"action": "accept", "cell": "a/0.png", "sha256": "%s", "label": "monocyte"}
"""
    * 3
    % ((b"ab" * 32,) * 3)
)


@given(
    run=mutated([RUN], (b"null", b"[]", b"{" * 5000, b"1e999")),
    lines=mutated([ENTRY], (b"[]\n", b"[" * 100_000)),
)
@inputs(15)
def test_any_review_is_read_or_refused(run: bytes, lines: bytes, area: Path) -> None:
    (area / "run.json").write_bytes(run)
    (area / journal.FILE).write_bytes(lines)
    with bounded(area / "nothing"):
        read_run(area)
    with bounded(area / "nothing", counts=False):
        journal.by_picture(journal.read(area))
