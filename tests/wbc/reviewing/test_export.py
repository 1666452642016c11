"""Answers as a labelled source that the pipeline takes."""

from pathlib import Path

import pandas as pd
import pytest

from tests.small_disk import resize, small_disk
from tests.wbc.reviewing.cases import write_out
from wbc import cli
from wbc.digests import digest_of
from wbc.params import FolderSource
from wbc.reviewing import journal
from wbc.reviewing.answers import answers
from wbc.reviewing.journal import Entry
from wbc.reviewing.queue import read_run
from wbc.reviewing.session import Session
from wbc.slides.pictures import pictures
from wbc.sources import folder


def answer(out: Path, **labels: str) -> None:
    """Labels of cells by their number; `other` and "" among them."""
    with journal.opened(out) as opened:
        for number, (cell, label) in enumerate(labels.items()):
            name = f"a/{cell.removeprefix('c')}.png"
            digest = digest_of(out.parent / "slides" / name)
            opened.append(Entry("relabel", name, digest, label, "monocyte", "a", "m", "Ada",
                                f"2026-01-0{number + 1}"))  # fmt: skip


def export(out: Path, target: Path) -> pd.DataFrame:
    cli.main(["review", str(out), "--export", str(target)])
    return pd.read_csv(target / "labels.csv", dtype=str, keep_default_na=False)


def test_a_folder_source_takes_what_was_exported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = write_out(tmp_path, num_cells=5)
    answer(out, c0="basophil", c1="other", c2="", c3="monocyte")
    with caplog.at_level("INFO"):
        table = export(out, tmp_path / "data" / "incoming" / "reviewed")
    assert list(table["label"]) in (["basophil", "monocyte"], ["monocyte", "basophil"])
    assert "dvc add" in caplog.text and "kind: folder" in caplog.text
    assert str(tmp_path) not in table.to_csv()
    source = FolderSource(
        kind="folder", name="reviewed", role="train", path="data/incoming/reviewed",
        table="labels.csv", group_pattern="",
    )  # fmt: skip
    (tmp_path / "raw").mkdir()
    cells = folder.fetch(source, tmp_path / "raw" / "reviewed", tmp_path)
    assert sorted(cells["label"]) == ["basophil", "monocyte"] and set(cells["group"]) == {"a"}


def test_exports_gather_and_follow_what_was_taken_back(tmp_path: Path) -> None:
    first, second = (write_out(tmp_path / name, 4) for name in ("one", "two"))
    target = tmp_path / "reviewed"
    answer(first, c0="basophil", c1="monocyte")
    assert len(export(first, target)) == 2
    (second.parent / "slides" / "a" / "3.png").write_bytes(b"another picture")
    answer(second, c3="eosinophil", c1="lymphocyte")
    table = export(second, target)
    assert sorted(table["label"]) == ["basophil", "eosinophil", "lymphocyte"]  # the newer of two
    with journal.opened(first) as opened:
        opened.append(Entry("undo"))
        opened.append(Entry("undo"))
    answer(first, c2="neutrophil")
    assert sorted(export(first, target)["label"]) == ["eosinophil", "lymphocyte", "neutrophil"]


def test_answers_belong_to_the_picture_that_was_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = write_out(tmp_path, num_cells=3)
    answer(out, c0="basophil", c1="monocyte", c2="lymphocyte")
    (tmp_path / "slides" / "a" / "0.png").write_bytes(b"another picture")
    (tmp_path / "slides" / "a" / "1.png").unlink()
    files = pictures(tmp_path / "slides").files
    assert answers(journal.read(out), files) == {"a/2.png": "lymphocyte"}
    assert "2 of 3 answers are left out" in caplog.text
    assert list(export(out, tmp_path / "reviewed")["label"]) == ["lymphocyte"]


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    out = write_out(tmp_path, num_cells=2)
    with pytest.raises(SystemExit, match="Nobody has named a cell"):
        export(out, tmp_path / "reviewed")
    answer(out, c0="basophil")
    with pytest.raises(SystemExit, match="holds something else than reviewed cells"):
        export(out, tmp_path / "slides")
    other = tmp_path / "other"
    other.mkdir()
    (other / "labels.csv").write_text("path,label\n")
    with pytest.raises(SystemExit, match="was not written by an export"):
        export(out, other)


def test_a_full_disk_is_one_sentence_and_then_it_goes_on(tmp_path: Path) -> None:
    out = write_out(tmp_path, num_cells=2)
    answer(out, c0="basophil", c1="monocyte")
    with small_disk(tmp_path / "small", 8 / 1024) as disk:
        with pytest.raises(SystemExit, match=r"cannot be written .*No space left"):
            export(out, disk / "reviewed")
        assert not (disk / "reviewed" / "labels.csv").exists()
        resize(disk, 1)
        assert len(export(out, disk / "reviewed")) == 2


def test_labels_outlive_the_pictures_that_were_moved_away(tmp_path: Path) -> None:
    out, target = write_out(tmp_path, num_cells=2), tmp_path / "reviewed"
    answer(out, c0="basophil", c1="monocyte")
    before = export(out, target)
    (tmp_path / "slides" / "a" / "0.png").unlink()
    assert export(out, target).equals(before)


def test_a_name_that_comes_again_with_another_picture_keeps_both_answers(tmp_path: Path) -> None:
    out, target = write_out(tmp_path, num_cells=1), tmp_path / "reviewed"
    answer(out, c0="basophil")
    export(out, target)
    (tmp_path / "slides" / "a" / "0.png").write_bytes(b"next month")
    answer(out, c0="eosinophil")
    assert sorted(export(out, target)["label"]) == ["basophil", "eosinophil"]


def test_a_picture_that_comes_back_has_its_answer_again_under_any_name(tmp_path: Path) -> None:
    out = write_out(tmp_path, num_cells=2)
    path = tmp_path / "slides" / "a" / "0.png"
    first = path.read_bytes()
    answer(out, c0="basophil")
    path.write_bytes(b"another picture")
    answer(out, c0="eosinophil")
    path.write_bytes(first)
    files = pictures(tmp_path / "slides").files
    assert answers(journal.read(out), files) == {"a/0.png": "basophil"}
    path.rename(path.with_name("renamed.png"))
    files = pictures(tmp_path / "slides").files
    assert answers(journal.read(out), files) == {"a/renamed.png": "basophil"}
    assert list(export(out, tmp_path / "reviewed")["label"]) == ["basophil"]
    with journal.opened(out) as opened:
        path.with_name("1.png").write_bytes(first)
        assert Session(read_run(out), opened, "Ada").state()["answered"] == 1


def test_what_was_all_taken_back_goes(tmp_path: Path) -> None:
    out, target = write_out(tmp_path, num_cells=1), tmp_path / "reviewed"
    answer(out, c0="basophil")
    export(out, target)
    with journal.opened(out) as opened:
        opened.append(Entry("undo"))
    assert export(out, target).empty


def test_a_picture_that_was_exchanged_is_asked_anew(tmp_path: Path) -> None:
    out = write_out(tmp_path, num_cells=2)
    answer(out, c0="basophil", c1="monocyte")
    with journal.opened(out) as opened:
        assert Session(read_run(out), opened, "Ada").state()["question"] is None
        (tmp_path / "slides" / "a" / "1.png").write_bytes(b"another picture")
        state = Session(read_run(out), opened, "Ada").state()
    assert (state["answered"], state["question"]["name"]) == (1, "a/1.png")
