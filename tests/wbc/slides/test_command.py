"""`python -m wbc differential` as a whole: what it writes, reuses, refuses."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.mlflow_home import ARCHITECTURE, new_home, write_two_models
from tests.small_disk import resize, small_disk
from tests.wbc import pictures
from tests.wbc.predicting.test_command import stop
from wbc import cli, model
from wbc.cells import CLASSES
from wbc.digests import digest_of
from wbc.predicting import command as predict_command
from wbc.predicting import preparing
from wbc.reviewing import journal
from wbc.reviewing.journal import Entry
from wbc.reviewing.queue import read_run
from wbc.slides import asked, command, slide_page
from wbc.slides.asked import MARKER

MODEL = f"models/{ARCHITECTURE}"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_two_models(home)
    for slide, num_cells, y in (("a", 5, 60), ("b <i>", 3, 62)):
        (home / "slides" / slide).mkdir(parents=True)
        for number in range(num_cells):
            picture = pictures.cell(120, 120, 45 + 4 * number, y)
            (home / "slides" / slide / f"{number}.png").write_bytes(pictures.encoded(picture))
    (home / "slides" / "b <i>" / "bad.png").write_bytes(b"no picture")
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(template, tmp_path / "home")
    return new_home_at(tmp_path / "home", monkeypatch)


def new_home_at(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.rmtree(home / "mlruns", ignore_errors=True)
    return new_home(home, monkeypatch)


def differential(*arguments: str, below: str = "0") -> None:
    given = ["differential", "slides", "--out", "out", "--model", MODEL]
    cli.main([*given, "--uncertain-below", below, *arguments])


def refused(words: str, *arguments: str) -> None:
    with pytest.raises(SystemExit, match=words) as ended:
        cli.main(["differential", *arguments, "--model", MODEL])
    assert str(ended.value.code).startswith("error: ") and "\n" not in str(ended.value.code)


def table() -> pd.DataFrame:
    return pd.read_csv("out/differential.csv", keep_default_na=False).set_index(["slide", "class"])


def test_slides_become_a_table_pages_and_a_queue(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    validated(home)
    with caplog.at_level("INFO"):
        differential("--explain", below="0.99")
    everything = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*"))
    name = next(path for path in everything if path.endswith(".jsonl")).removesuffix(".jsonl")
    assert everything == [
        ".lock", MARKER, "cells", f"{name}.json", f"{name}.jsonl", "differential.csv",
        "index.html", "review.csv", "run.json", "slides", "slides/a.html", "slides/b-i.html",
    ]  # fmt: skip
    counted = table()
    assert counted.loc["a", "n"].eq(0).all() and counted.loc["a", "uncertain"].eq(5).all()
    assert counted.loc["b <i>", "unreadable"].eq(1).all()
    queue = pd.read_csv("out/review.csv", keep_default_na=False)
    assert len(queue) == 8 and set(queue["reason"]) == {"uncertain"}
    assert "8 cells wait for a person: python -m wbc review out" in caplog.text
    page = Path("out/slides/a.html").read_text()
    assert page.count("wide-tile") == 6  # each of the five with its map, and the style
    assert "Too few cells: 0" in page and "Not a medical device" in page
    differential()
    counted = table()
    assert counted.loc["a", "counted"].sum() == 5 and counted.loc["b <i>", "n"].eq(3).all()
    assert counted.loc["a", "adjusted"].astype(float).sum() == pytest.approx(100, abs=1e-3)
    page, index = (Path(f"out/{name}").read_text() for name in ("slides/b-i.html", "index.html"))
    assert "b &lt;i&gt;" in page and "<i>" not in page and "not an image" in page
    assert 'href="slides/b-i.html"' in index and "too few cells" in index
    for text in (page, index):
        assert not re.search(r"<script|src=\"(?!data:)|<link", text)


def test_a_copy_in_a_slide_is_counted_once(home: Path) -> None:
    shutil.copy(home / "slides" / "a" / "1.png", home / "slides" / "a" / "1 copy.png")
    (home / "slides" / "b <i>" / "bad too.png").write_bytes(b"no picture")
    differential(below="0.99")
    counted = table()
    assert counted.loc["a", "uncertain"].eq(5).all() and counted.loc["a", "copies"].eq(1).all()
    assert counted.loc["b <i>", "unreadable"].eq(2).all()  # each with its own reason
    assert len(pd.read_csv("out/review.csv")) == 8
    page, index = (Path(f"out/{name}").read_text() for name in ("slides/a.html", "index.html"))
    assert "other files in this slide: 1." in page and "a/1.png" in page
    assert "5 uncertain, 1 copy" in index


def validated(home: Path) -> None:
    """A report of this very model, with validation cells that it was sure of."""
    rows = [
        {"path": "x", "set": "val", "label": name, "predicted": name,
         **{f"p_{each}": float(each == name) for each in CLASSES}}
        for name in CLASSES for _ in range(20)
    ]  # fmt: skip
    report = home / "reports" / ARCHITECTURE
    pd.DataFrame(rows).to_csv(report / "predictions.csv", index=False)
    (report / "model_card.md").write_text(f"SHA-256 `{model.model_sha256(home / MODEL)}`")


def test_answers_are_counted_again_without_judging_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    differential(below="0.99")
    judge = predict_command.run
    monkeypatch.setattr(predict_command, "run", never)
    with journal.opened(Path("out")) as answers:
        for cell, label in (("a/0.png", "basophil"), ("a/1.png", "other"), ("b <i>/0.png", "")):
            digest = digest_of(home / "slides" / cell)
            answers.append(Entry("relabel" if label else "skip", cell, digest, label))
    differential(below="0.99")
    counted = table().loc["a"]
    assert counted.loc["basophil", "counted"] == counted.loc["basophil", "reviewed"] == 1
    assert counted["uncertain"].eq(3).all() and counted["other"].eq(1).all()
    assert table().loc["b <i>", "uncertain"].eq(3).all()
    queue = pd.read_csv("out/review.csv", keep_default_na=False).set_index("path")
    assert queue.loc["a/0.png", "reviewed"] == "basophil" and len(queue) == 8
    again = read_run(Path("out")).again.split()
    cli.main(again[3:])
    monkeypatch.setattr(predict_command, "run", judge)
    with pytest.raises(UnboundLocalError, match="judged"):
        monkeypatch.setattr(predict_command, "run", never)
        (home / "slides" / "a" / "0.png").touch()
        differential(below="0.99")


def test_rows_that_are_not_as_they_were_written_are_judged_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the last ones a slide would be missing; each of the others was a traceback."""
    monkeypatch.setattr(command, "write", lambda *_: None)
    differential()
    (rows,) = Path("out/cells").glob("*.jsonl")
    known = rows.with_suffix(".json")
    whole, record = rows.read_bytes(), known.read_bytes()
    cut = whole[: whole.rfind(b"\n", 0, -1) + 1]
    assert cut.count(b"\n") == 8
    for damaged in (cut, b"", b"{}\n", whole[:-9]):
        rows.write_bytes(damaged)
        caplog.clear()
        differential()
        assert rows.read_bytes() == whole and known.read_bytes() == record
        assert "is not as it was written, so all cells are judged again" in caplog.text
    older = {key: value for key, value in json.loads(record).items() if key != "rows"}
    for other in (older, []):
        known.write_text(json.dumps(other))
        differential()
        assert known.read_bytes() == record


def test_a_kill_between_the_last_renames_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it comes, also twice: no page has gone, and none is half there."""
    out, num_left = tmp_path, 0
    files = ("run.json", "review.csv", "differential.csv", "index.html")

    def made(folder: Path, words: str) -> None:
        (folder / "slides").mkdir(parents=True, exist_ok=True)
        for name in (*files, "slides/a.html"):
            (folder / name).write_text(words)

    def killed(self: Path, target: Path) -> Path:
        nonlocal num_left
        num_left -= 1
        if num_left < 0:
            raise KeyboardInterrupt
        return move(self, target)

    move = Path.replace
    made(out, "0")
    monkeypatch.setattr(Path, "replace", killed)
    for number in range(1, 7):
        made(out / ".unfinished", str(number))
        num_left = number - 1
        with pytest.raises(KeyboardInterrupt):
            command._publish(out / ".unfinished", out)
        pages = [*out.glob("slides/a.html"), *out.glob(".slides-before/a.html")]
        assert pages and all((out / name).read_text().isdecimal() for name in files)
    num_left = 10
    made(out / ".unfinished", "new")
    command._publish(out / ".unfinished", out)
    assert sorted(path.name for path in out.iterdir()) == sorted([*files, "slides"])
    assert {path.read_text() for path in out.rglob("*.*") if path.is_file()} == {"new"}


def never(*_: Any) -> None:
    raise UnboundLocalError("judged")


def test_models_are_compared_on_the_same_slides(home: Path) -> None:
    differential("--model", "second", "--slides", "one")
    counted = table()
    assert counted["model"].nunique() == 2 and set(counted["n"]) == {8}
    page = Path("out/slides/slides.html").read_text()
    rows = [pd.read_json(path, lines=True) for path in Path("out/cells").glob("*.jsonl")]
    num_differing = int((rows[0]["class"].fillna("") != rows[1]["class"].fillna("")).sum())
    assert num_differing > 0  # of two untrained networks
    assert f"on {num_differing} they differ" in page
    queue = pd.read_csv("out/review.csv", keep_default_na=False)
    assert list(queue["reason"]) == ["models-differ"] * num_differing
    assert queue["others"].str.contains(": ").all()


def test_a_stop_leaves_what_was_there_whole(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    differential()
    before = {path: path.read_bytes() for path in Path("out").rglob("*.*") if path.is_file()}
    build: Callable[..., Any] = slide_page.build

    def stopped(shown: Any) -> Any:
        if shown.slides[0].name != "a":
            raise KeyboardInterrupt
        return build(shown)

    with monkeypatch.context() as patch:
        patch.setattr(slide_page, "build", stopped)
        with pytest.raises(SystemExit):
            differential()
    assert {path: path.read_bytes() for path in before} == before
    differential()
    assert not (home / "out" / ".unfinished").exists()


def test_a_picture_that_was_exchanged_after_a_stop_is_judged_anew(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_command, "BATCH", 4)
    with monkeypatch.context() as patch:
        stop(patch, "before", 1)
        with pytest.raises(SystemExit):
            differential()
    (home / "slides" / "a" / "0.png").write_bytes(b"no picture")
    differential()
    assert table().loc["a", "unreadable"].eq(1).all()


def test_a_file_that_vanishes_in_between_is_a_row(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_chunk = preparing.prepare_chunk

    def vanish(chunk: list[preparing.Task], *given: Any) -> list[preparing.Ready]:
        (home / "slides" / "a" / "4.png").unlink(missing_ok=True)
        return prepare_chunk(chunk, *given)

    monkeypatch.setattr(preparing, "prepare_chunk", vanish)
    differential()
    assert table().loc["a", "unreadable"].eq(1).all()
    assert "No such file or directory" in Path("out/slides/a.html").read_text()


def test_mistakes_are_one_sentence(home: Path) -> None:
    (home / "empty").mkdir()
    refused("expected to be a folder of slides, but is not there", "gone")
    refused("but is a file", MODEL + "/model.json")
    refused("empty holds no picture", "empty", "--out", "out")
    refused("would be taken for slides", "slides", "--out", "slides/out")
    refused("holds something else already", "slides", "--out", "reports")
    (home / "mine" / "cells").mkdir(parents=True)  # named as ours are: not ours to replace
    (home / "mine" / "slides").mkdir()
    refused("holds something else already", "slides", "--out", "mine")
    (home / "ours" / "slides").mkdir(parents=True)
    (home / "ours" / asked.MARKER).touch()
    refused("or replace pictures", "ours/slides", "--out", "ours")
    refused("The folder for gone/out is not there", "slides", "--out", "gone/out")
    refused("is a file", "slides", "--out", "dvc.lock")
    refused("was expected to hold the slide in parentheses", "slides", "--slides", "^a")
    refused("gone.yaml cannot be read", "slides", "--ranges", "gone.yaml")
    assert not (home / "out").exists()
    (home / "bad").mkdir()
    (home / "bad" / "1.png").write_bytes(b"no picture")
    refused("None of the 1 pictures in bad can be read, for example 1.png", "bad", "--out", "out")
    assert not (home / "out" / command.INDEX).exists()


def test_a_model_whose_card_is_not_ours_writes_nowhere(home: Path) -> None:
    """Its architecture is part of a file's name."""
    known = json.loads((home / MODEL / "model.json").read_text())
    for card in ({"architecture": "../../../escaped/x"}, known | {"architecture": "../../x"}):
        (home / MODEL / "model.json").write_text(json.dumps(card))
        for fields in ([], ["--fields"]):
            refused("holds no readable model", "slides", "--out", "out", *fields)
    assert not (home / "out").exists() and not (home.parent / "escaped").exists()


def test_a_full_disk_is_one_sentence_and_then_it_goes_on(home: Path) -> None:
    differential()
    whole = Path("out", "differential.csv").read_bytes()
    shutil.rmtree("out")
    with small_disk(home / "small", 24 / 1024) as disk:
        refused("No space is left on the disk", "slides", "--out", str(disk / "out"))
        assert not (disk / "out" / command.INDEX).exists()
        resize(disk, 4)
        differential("--out", str(disk / "out"))
        assert (disk / "out" / "differential.csv").read_bytes() == whole


def test_what_review_needs_is_kept(home: Path) -> None:
    differential("--slides", r"^(\d)", below="0.99")
    run = json.loads((home / "out" / "run.json").read_text())
    assert run["folder"] == str(home / "slides") and run["framing"]["size"] == 64
    assert "'^(\\d)'" in run["again"] and "--uncertain-below 0.99" in run["again"]
    assert all(Path(cell["file"]).is_file() for cell in run["queue"])
    assert {cell["slide"] for cell in run["queue"]} == {"0", "1", "2", "3", "4"}
