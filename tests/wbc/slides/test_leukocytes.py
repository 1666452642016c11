"""`differential --fields`: every leukocyte of whole fields is a cell of its slide."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.mlflow_home import ARCHITECTURE, card, new_home, write_two_models
from tests.wbc import pictures
from tests.wbc.predicting.test_command import stop
from tests.wbc.test_fields import field
from wbc import cli, model
from wbc.cells import CLASSES
from wbc.decoding import decode
from wbc.digests import digest_of, sha256_of
from wbc.fields import AROUND, prepare_field
from wbc.framing import Framing
from wbc.imaging import prepare
from wbc.predicting import command as predict_command
from wbc.predicting import fields as smear
from wbc.predicting.kept import cell_name
from wbc.reviewing import journal
from wbc.reviewing.journal import Entry
from wbc.reviewing.queue import read_run
from wbc.reviewing.session import Session
from wbc.slides import command, leukocytes, slide_page
from wbc.slides.asked import alone

MODEL = f"models/{ARCHITECTURE}"
CELLS = [(120.0, 130.0), (520.0, 240.0), (300.0, 400.0)]
CUT, SEEN = Path("out/leukocytes/cut"), Path("out/leukocytes/seen")
FRAMING = Framing.of(card()["input"])
# Two slides; the second has a field without a cell, one that is none, and a cell at the border.
FIELDS = {
    "a/1.png": CELLS,
    "a/2.png": [(500.0, 180.0), (260.0, 390.0)],
    "b/1.png": [(10.0, 240.0), (320.0, 240.0)],
    "b/2.png": [],
}
NAMES = ["a/1.png.1.png", "a/1.png.2.png", "a/1.png.3.png", "a/2.png.1.png", "a/2.png.2.png",
         "b/1.png.1.png", "b/1.png.2.png"]  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With OUT as a first run left it."""
    home = tmp_path_factory.mktemp("home")
    write_two_models(home)
    for name, cells in FIELDS.items():
        path = home / "slides" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures.encoded(Image.fromarray(field(cells))))
    (home / "slides" / "b" / "bad.png").write_bytes(b"no picture")
    with pytest.MonkeyPatch.context() as patch:
        new_home(home, patch)
        differential("--explain")
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(template, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the judging matters: pages take the most time."""
    monkeypatch.setattr(command, "write", lambda *_: None)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slide_page, "_figure", lambda _: [])


def differential(*arguments: str, models: tuple[str, ...] = (MODEL,), below: str = "0.99") -> None:
    given = [word for each in models for word in ("--model", each)]
    cli.main(["differential", "slides", "--fields", "--out", "out", *given,
              "--uncertain-below", below, *arguments])  # fmt: skip


def refused(words: str, *arguments: str) -> None:
    with pytest.raises(SystemExit, match=words) as ended:
        cli.main(["differential", "slides", "--model", MODEL, *arguments])
    assert str(ended.value.code).startswith("error: ") and "\n" not in str(ended.value.code)


def rows(model_dir: str = MODEL) -> list[dict[str, Any]]:
    sha256 = model.model_sha256(Path(model_dir))
    lines = Path(f"out/cells/{ARCHITECTURE}-{sha256[:8]}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def stamps() -> dict[str, int]:
    return {path.as_posix(): path.stat().st_mtime_ns for path in CUT.parent.rglob("*.png")}


def never(*_: Any) -> None:
    raise UnboundLocalError("judged")


def test_every_leukocyte_is_a_cell_and_is_judged_as_predict_judges_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["predict", "slides", "--fields", "--out", "p.jsonl", "--model", MODEL,
              "--uncertain-below", "0.99"])  # fmt: skip
    assert rows() == [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()]
    assert sorted(path.relative_to(CUT).as_posix() for path in CUT.rglob("*.png")) == NAMES
    table = pd.read_csv("out/differential.csv").set_index("slide")
    counts = ["n", "uncertain", "unlocated", "unreadable"]
    assert table.loc["a", counts].to_numpy().tolist() == [[0, 5, 0, 0]] * 5
    assert table.loc["b", counts].to_numpy().tolist() == [[0, 2, 1, 1]] * 5
    assert sorted(pd.read_csv("out/review.csv")["path"]) == NAMES
    page = Path("out/slides/b.html").read_text()
    assert "0 leukocytes counted of 2 that were found in 3 fields" in page
    assert "The 2 fields without a cell to judge" in page
    assert 'b/2.png</td><td class="words">no leukocyte found' in page
    assert 'b/bad.png</td><td class="words">not an image' in page
    assert "1 of 2 are cut by" in page and "1.png, cell\N{NO-BREAK SPACE}2" in page
    assert page.count("wide-tile") == 3 and "(no picture)" not in page  # each with its map; style
    index = Path("out/index.html").read_text()
    for words in ("1 unreadable field,", "1 field without a cell", "2 uncertain"):
        assert words in index
    before = stamps()
    monkeypatch.setattr(predict_command, "run", never)
    differential("--slides", r"^(\d)\.png$")  # of the field's name
    assert stamps() == before
    assert set(pd.read_csv("out/review.csv")["slide"]) == {1, 2}


def test_what_is_kept_is_what_the_model_saw_with_the_cell_in_its_middle(home: Path) -> None:
    _, cells = prepare_field(Path("slides/a/1.png").read_bytes(), FRAMING, around=True)
    for number, cell in enumerate(cells, start=1):
        data = (CUT / f"a/1.png.{number}.png").read_bytes()
        cut, seen = decode(data), decode((SEEN / f"a/1.png.{number}.png").read_bytes())
        assert np.array_equal(seen, cell.pixels)
        side = round(AROUND * max(cell.place.width, cell.place.height))
        assert cut.shape[0] == cut.shape[1] and abs(cut.shape[0] - side) <= 0.03 * side
        alone = prepare(data, FRAMING)
        assert alone.located and np.abs(alone.pixels.astype(int) - cell.pixels).mean() < 4
    queued = {cell.name: cell for cell in read_run(Path("out")).queue}
    shown = decode(Path(queued["a/1.png.2.png"].seen).read_bytes())
    assert np.array_equal(shown, cells[1].pixels)
    assert queued["a/1.png.2.png"].place == "cell 2 of a/1.png"


def test_a_stop_leaves_no_half_and_the_same_command_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, no_pages: None
) -> None:
    """Batches end with a field: the cells of a/1.png, of a/2.png, …"""
    shutil.rmtree("out")
    monkeypatch.setattr(predict_command, "BATCH", 2)
    with monkeypatch.context() as patch:
        stop(patch, "between", 1)
        with pytest.raises(KeyboardInterrupt):
            differential_directly()
    assert not CUT.exists()
    staging = Path("out") / leukocytes._STAGING
    first = staging / "cut" / NAMES[0]
    assert first.is_file() and not (staging / "cut" / NAMES[-1]).exists()
    before = first.stat().st_mtime_ns
    differential()
    assert (CUT / NAMES[0]).stat().st_mtime_ns == before and not staging.exists()
    assert len(list(CUT.rglob("*.png"))) == len(list(SEEN.rglob("*.png"))) == len(NAMES)
    assert len(rows()) == 9
    assert not list(Path("out").rglob("*.part"))


def differential_directly() -> None:
    """Without cli, which turns a KeyboardInterrupt into an exit."""
    from wbc.cli import _parser

    given = _parser().parse_args(["differential", "slides", "--fields", "--out", "out",
                                  "--model", MODEL, "--uncertain-below", "0.99"])  # fmt: skip
    command.run(given)


def test_what_a_stop_left_for_another_first_model_is_not_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are begun anew, since the pictures of those that there are have gone."""
    kept, asked = leukocytes.FOLDER, list[bool]()

    def stopped(given: argparse.Namespace) -> None:
        asked.append(given.restart)
        raise KeyboardInterrupt

    monkeypatch.setattr(predict_command, "run", stopped)
    shutil.rmtree(f"out/{kept}")
    for disturb in (False, False, True):
        if disturb:
            leukocytes.begin(Path("out"), Path("slides"), {"model": "another"}, anew=True)
        with pytest.raises(SystemExit):
            differential()
    assert asked == [True, False, True]


def test_answers_are_counted_and_exported_for_as_long_as_the_cell_is_the_same(
    home: Path, no_figures: None
) -> None:
    differential(models=(MODEL, "second"))
    run = read_run(Path("out"))
    assert len(run.models) == 2 and any(cell.others for cell in run.queue)
    with journal.opened(Path("out")) as answers:
        session = Session(run, answers, "Ada")
        order = [cell.name for cell in run.queue]
        for number, label in ((0, "basophil"), (3, "basophil"), (5, "other")):
            digest = digest_of(CUT / NAMES[number])
            session.answer(order.index(NAMES[number]), "relabel", digest, label)
    cli.main(run.again.split()[3:])
    check_counted(num_models=2, basophils=2)
    cli.main(["review", "out", "--export", "reviewed"])
    exported = pd.read_csv("reviewed/labels.csv")
    assert list(exported["label"]) == ["basophil"] * 2 and list(exported["group"]) == ["a"] * 2
    assert {(Path("reviewed") / path).read_bytes() for path in exported["path"]} == {
        (CUT / NAMES[number]).read_bytes() for number in (0, 3)
    }
    (home / "slides" / "a" / "2.png").write_bytes(pictures.encoded(Image.fromarray(field([]))))
    answered = (CUT / NAMES[3]).read_bytes()
    differential(models=("second",))
    assert not (CUT / NAMES[3]).exists()
    check_counted(num_models=1, basophils=1)
    cli.main(["review", "out", "--export", "later"])
    later = {path.read_bytes() for path in Path("later").rglob("*.png")}
    assert len(later) == 2 and answered in later


def test_answers_follow_a_cell_to_another_number_and_another_png(
    home: Path, monkeypatch: pytest.MonkeyPatch, no_figures: None
) -> None:
    """One of older code, which kept no copies of what was answered; zlib packs otherwise now."""
    answered = {name: (CUT / name).read_bytes() for name in (NAMES[1], NAMES[3])}
    with journal.opened(Path("out")) as answers:
        for name, data in answered.items():
            answers.append(Entry("relabel", name, sha256_of(data), "basophil", "", "a"))
    more = [*CELLS, (330.0, 60.0)]  # above the others, so all get another number
    (home / "slides" / "a" / "1.png").write_bytes(pictures.encoded(Image.fromarray(field(more))))
    (home / "slides" / "a" / "2.png").unlink()
    monkeypatch.setattr(
        smear, "png", lambda pixels: pictures.encoded(Image.fromarray(pixels)) + b"0"
    )
    differential()
    assert (CUT / "a/1.png.3.png").read_bytes() == answered[NAMES[1]]
    assert (CUT / "a/1.png.1.png").read_bytes() not in answered.values()
    queue = pd.read_csv("out/review.csv", keep_default_na=False).set_index("path")["reviewed"]
    assert queue[queue != ""].to_dict() == {"a/1.png.3.png": "basophil"}
    cli.main(["review", "out", "--export", "reviewed"])
    paths = pd.read_csv("reviewed/labels.csv")["path"]
    assert {(Path("reviewed") / path).read_bytes() for path in paths} == set(answered.values())


def check_counted(num_models: int, basophils: int) -> None:
    """Of each model; and one answer `other`."""
    table = pd.read_csv("out/differential.csv").set_index(["model", "slide", "class"])
    assert len(table) == num_models * 2 * len(CLASSES)
    assert table["reviewed"].sum() == num_models * basophils
    for _, own in table.groupby("model"):
        own = own.droplevel("model")
        assert own.loc[("a", "basophil"), "reviewed"] == basophils
        assert own.loc["b", "other"].eq(1).all()


def test_the_pictures_follow_the_first_model(
    home: Path, monkeypatch: pytest.MonkeyPatch, no_pages: None
) -> None:
    before = stamps()
    differential(models=("second",))
    assert stamps().keys() == before.keys() and not set(stamps().values()) & set(before.values())
    monkeypatch.setattr(predict_command, "run", never)
    with pytest.raises(UnboundLocalError, match="judged"):
        differential()


def test_pictures_that_have_gone_are_cut_anew(
    home: Path, no_pages: None, caplog: pytest.LogCaptureFixture
) -> None:
    (CUT / NAMES[2]).unlink()
    (SEEN / NAMES[3]).unlink()
    differential()
    assert len(list(CUT.rglob("*.png"))) == len(list(SEEN.rglob("*.png"))) == len(NAMES)
    assert "in out/leukocytes: 2 have gone" in caplog.text


def test_one_run_at_a_time_writes_in_a_folder(home: Path) -> None:
    before = stamps()
    with alone(Path("out")):
        for model_dir in (MODEL, "second"):
            with pytest.raises(SystemExit, match="Another `python -m wbc differential` is writing"):
                differential("--restart", models=(model_dir,))
    assert stamps() == before


def test_what_cannot_be_is_one_sentence(home: Path) -> None:
    shutil.copytree(MODEL, "uncropped")
    described = json.loads(Path("uncropped/model.json").read_text())
    described["input"]["crop"] = "none"
    Path("uncropped/model.json").write_text(json.dumps(described))
    shutil.rmtree("out")
    refused("this model learned from whole pictures", "--model", "uncropped", "--fields",
            "--out", "out")  # fmt: skip
    assert not Path("out").exists()
    shutil.rmtree("slides/a")
    for path in Path("slides").rglob("*.png"):
        path.write_bytes(b"no picture")
    refused("None of the 3 pictures in slides can be read", "--fields", "--out", "out")
    refused("out was made of whole fields, with --fields", "--out", "out")
    Path("other").mkdir()
    Path("other/.wbc-differential").touch()  # of a run without --fields
    refused("other was made of single cells, without", "--fields", "--out", "other", "--restart")


@pytest.mark.parametrize("name", ["a/1.png.1.png", "a/1.png.1.png/x/y.png"])
def test_no_field_is_called_as_a_cell_of_another_one(home: Path, name: str) -> None:
    path = home / "slides" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pictures.encoded(Image.fromarray(field([]))))
    refused("a/1.png.1.png is called as cell 1 of the field a/1.png", "--fields", "--out", "out")
    (home / "slides" / "a" / "1.png").unlink()  # then it is a name like any other
    leukocytes.check_names([name, "a/1.png.01.png", "a/1.png"[:-1]])


def test_a_model_that_is_named_twice_counts_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, no_figures: None, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(MODEL, "copy")
    monkeypatch.setattr(predict_command, "run", never)  # what the first run judged is used
    differential(models=(MODEL, f"{MODEL}/", "copy"))
    assert pd.read_csv("out/differential.csv")["model"].nunique() == 1
    assert read_run(Path("out")).again.count("--model") == 1
    assert "--model copy is the same model as --model models/" in caplog.text


def test_a_slide_of_empty_fields_has_a_page(home: Path) -> None:
    shutil.rmtree(home / "slides" / "a")
    (home / "slides" / "b" / "1.png").unlink()
    differential()
    assert "No cell could be counted" in Path("out/slides/b.html").read_text()
    assert pd.read_csv("out/review.csv").empty


@pytest.mark.parametrize("name", ["x" * 240 + ".png", "ü" * 120 + ".tif"])
def test_names_of_cells_fit_any_file_system(name: str) -> None:
    long = cell_name(f"a/{name}", 12)
    assert long.startswith("a/") and long.endswith(".12.png") and len(long.encode()) < 230
    assert long != cell_name(f"a/{name[:-4]}x.png", 12)
