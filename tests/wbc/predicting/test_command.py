"""`python -m wbc predict` as a whole: what it writes, says, and how it goes on after a stop."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.mlflow_home import ARCHITECTURE, card, new_home, write_model, write_reference
from tests.small_disk import resize, small_disk
from tests.wbc import pictures
from tests.wbc.predicting.test_packed import make_tar, make_zip
from wbc import cli, model
from wbc.cells import CLASSES
from wbc.predicting import command, part, preparing
from wbc.predicting.part import Part
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store

ROOT = Path(__file__).parents[3]
NUM_CELLS = 13
MODEL = ("--model", f"models/{ARCHITECTURE}")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_reference(write_model(home, temperature=1.3)[0])
    cells = home / "cells"
    (cells / "deep").mkdir(parents=True)
    for number in range(NUM_CELLS):
        folder = cells / "deep" if number % 2 else cells
        picture = pictures.cell(120, 120, 50 + number, 60)
        (folder / f"{number:02}.png").write_bytes(pictures.encoded(picture))
    (cells / "bad.png").write_bytes(b"no picture")
    (cells / "=cmd.png").write_bytes(pictures.encoded(pictures.cell(120, 120, 60, 60)))
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(template, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr(command, "BATCH", 4)
    return tmp_path / "home"


def predict(*arguments: str) -> None:
    cli.main(["predict", *arguments, *MODEL])


def refused(words: str, *arguments: str) -> None:
    with pytest.raises(SystemExit, match=words) as ended:
        cli.main(["predict", *arguments])
    assert str(ended.value.code).startswith("error: ") and "\n" not in str(ended.value.code)


def test_a_folder_becomes_a_table(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        predict("cells")
    table = pd.read_csv("predictions.csv", keep_default_na=False).set_index("path")
    assert len(table) == NUM_CELLS + 2
    assert table.loc["cells/bad.png", "error"] == "not an image"
    read = table[table["unreadable"].astype(str) == "False"]
    shares = read[[f"p_{name}" for name in CLASSES]].astype(float)
    assert ((shares.sum(axis=1) - 1).abs() < 1e-5).all()
    assert set(read["class"]) <= set(CLASSES)
    assert sorted(path.name for path in home.iterdir()) == [
        "cells", "models", "predictions.csv", "reports",
    ]  # fmt: skip
    said = " ".join(caplog.messages)
    assert "15 rows" in said and "1 unreadable" in said
    assert f"{read['class'].value_counts().max()} {read['class'].mode()[0]}" in said


def test_cells_unlike_the_training_cells_are_flagged(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The reference is noise; a model that is older than references says so once."""
    with caplog.at_level("INFO"):
        predict("cells", "--out", "a.csv")
    table = pd.read_csv("a.csv")
    assert list(table["out_of_domain"]) == list(~table["unreadable"])
    assert (table["distance"].isna() == table["unreadable"]).all()
    assert "14 out of domain" in " ".join(caplog.messages)
    assert "reference.safetensors" not in " ".join(caplog.messages)

    (home / "models" / ARCHITECTURE / "reference.safetensors").unlink()
    caplog.clear()
    predict("cells", "--out", "b.csv")
    without = pd.read_csv("b.csv")
    assert without["out_of_domain"].isna().all() and without["distance"].isna().all()
    pd.testing.assert_frame_equal(without[list(table)[:8]], table[list(table)[:8]])
    said = " ".join(caplog.messages)
    assert said.count("reference.safetensors") == 1 and "0 out of domain" not in said


def test_all_formats_and_all_kinds_of_input_say_the_same(home: Path) -> None:
    files = {path.relative_to("cells").as_posix(): path.read_bytes()
             for path in sorted(Path("cells").rglob("*.png"))}  # fmt: skip
    make_zip(home / "z.zip", files)
    make_tar(home / "t.tar.gz", files)
    predict("cells", "--out", "a.jsonl")
    predict("cells", "--out", "a.parquet")
    predict("cells", "--out", "a.csv")
    predict("z.zip", "--out", "z.jsonl")
    predict("t.tar.gz", "--out", "t.jsonl")
    predict("cells/**/*.png", "--out", "g.jsonl")
    wanted = by_name(pd.read_json("a.jsonl", lines=True), "cells/")
    pd.testing.assert_frame_equal(by_name(pd.read_parquet("a.parquet"), "cells/"), wanted)
    from_csv = by_name(pd.read_csv("a.csv"), "cells/")
    pd.testing.assert_frame_equal(from_csv, wanted, check_dtype=False)
    pd.testing.assert_frame_equal(by_name(pd.read_json("z.jsonl", lines=True), "z.zip/"), wanted)
    pd.testing.assert_frame_equal(by_name(pd.read_json("t.jsonl", lines=True), "t.tar.gz/"), wanted)
    pd.testing.assert_frame_equal(by_name(pd.read_json("g.jsonl", lines=True), "cells/"), wanted)


def test_pictures_of_all_formats_in_one_folder(home: Path) -> None:
    """What keeps every pixel says the same, to the digit; a GIF is a row that says why not."""
    (home / "mixed").mkdir()
    picture = pictures.cell(120, 120, 60, 60)
    for suffix in ("png", "bmp", "tiff", "tif", "JPG", "jpeg", "gif", "webp"):
        picture.save(home / "mixed" / f"{suffix}.{suffix}", lossless=True)
    predict("mixed", "--out", "mixed.csv")
    table = pd.read_csv("mixed.csv", keep_default_na=False).set_index("path")
    assert list(table.index[table["unreadable"]]) == ["mixed/gif.gif"] and len(table) == 8
    assert list(table.index[table["error"] != ""]) == ["mixed/gif.gif"]
    exact = table.loc[[f"mixed/{name}.{name}" for name in ("bmp", "png", "tif", "tiff", "webp")]]
    assert len(exact[[f"p_{name}" for name in CLASSES]].drop_duplicates()) == 1


def by_name(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Without what may differ: order, the folder's or archive's name, batches' last digits."""
    table = table.assign(path=table["path"].str.removeprefix(prefix)).sort_values("path")
    table = table.assign(error=table["error"].fillna("")).reset_index(drop=True)
    return table.where(table.notna(), None).round(4)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("moment", ["before", "between", "end"])
def test_a_stop_anywhere_changes_no_byte(
    home: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, moment: str
) -> None:
    predict("cells", "--out", f"whole{suffix}")
    wanted = Path(f"whole{suffix}").read_bytes()
    for batch in range(4):
        out = Path(f"out-{batch}{suffix}")
        with monkeypatch.context() as patch:
            stop(patch, moment, batch)
            with pytest.raises(KeyboardInterrupt, match="stopped"):
                command.run(options("cells", str(out)))
        assert not out.exists() and part.part_path(out).exists()
        predict("cells", "--out", str(out))
        assert out.read_bytes() == wanted
        assert not list(home.glob(f"{out.name}.*"))


def stop(patch: pytest.MonkeyPatch, moment: str, batch: int) -> None:
    """End before the batch's rows, between rows and record, or before OUT is there."""
    append, write_whole, calls = Part.append, part.write_whole, []

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt("stopped")

    def counted(self: Part, *given: Any) -> None:
        calls.append(given)
        if len(calls) == batch + 1:
            if moment == "before":
                stopped()
            patch.setattr(part, "write_whole", stopped)
        append(self, *given)

    patch.setattr(part, "write_whole", write_whole)
    if moment == "end":
        patch.setattr(Part, "finish", stopped)
    else:
        patch.setattr(Part, "append", counted)


def options(path: str, out: str, *others: str) -> Any:
    from wbc.cli import _parser

    return _parser().parse_args(["predict", path, "--out", out, *others, *MODEL])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_is_continued(home: Path, number: signal.Signals) -> None:
    """With real batches: 70 files come, 64 get rows, then the process dies while it waits."""
    for index in range(100):
        shutil.copy(home / "cells" / "00.png", home / "cells" / f"c{index}.png")
    names = sorted(f"cells/{path.name}" for path in (home / "cells").glob("*.png"))
    lines = "".join(f"{name}\n" for name in names)
    given = [sys.executable, "-m", "wbc", "predict", "-", *MODEL, "--out", "k.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("".join(f"{name}\n" for name in names[:80]))
        process.stdin.flush()
        record = home / "k.csv.part.json"
        deadline = time.monotonic() + 120
        while not (record.is_file() and json.loads(record.read_text())["rows"] == 64):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        said = process.stdout.read()
    assert process.returncode == (-9 if number == signal.SIGKILL else 143)
    assert not (home / "k.csv").exists()
    if number == signal.SIGTERM:
        assert "Stopped: 64 rows are kept in k.csv.part" in said
    done = subprocess.run(given, input=lines, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "has 64 rows; going on" in done.stdout
    given[-1] = "whole.csv"
    subprocess.run(given, input=lines, text=True, env=environment, check=True)
    assert (home / "k.csv").read_bytes() == (home / "whole.csv").read_bytes()


def test_a_full_disk_is_one_sentence_and_then_goes_on(home: Path) -> None:
    for index in range(100):
        shutil.copy(home / "cells" / "bad.png", home / "cells" / f"c{index}.png")
    predict("cells", "--out", "whole.jsonl")
    with small_disk(home / "small", 16 / 1024) as disk:
        out = disk / "out.jsonl"
        refused("No space is left on the disk", "cells", "--out", str(out), *MODEL)
        assert not out.exists()
        resize(disk, 1)
        predict("cells", "--out", str(out))
        assert out.read_bytes() == (home / "whole.jsonl").read_bytes()


def test_changed_inputs_or_models_do_not_continue(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop(patch, "before", 2)
        with pytest.raises(KeyboardInterrupt, match="stopped"):
            command.run(options("cells", "predictions.csv"))
    refused("made with another --uncertain-below", "cells", *MODEL, "--uncertain-below", "0.7")
    write_model(home, seed=2, temperature=1.3)
    refused("8 rows that were made with another model", "cells", *MODEL)
    write_model(home, seed=1, temperature=1.3)
    (home / "cells" / "00.png").rename(home / "cells" / "000.png")
    refused("The files are no longer those of the 8 rows", "cells", *MODEL)
    refused("The files are no longer those of the 8 rows", "cells/deep", *MODEL)
    predict("cells", "--restart")
    assert len(pd.read_csv("predictions.csv")) == NUM_CELLS + 2


def test_an_empty_list_on_stdin_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        refused("No picture was found: stdin", "-", *MODEL)


def test_mistakes_are_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "empty").mkdir()
    refused("gone was expected to be a file or folder", "gone", *MODEL)
    refused("empty holds no picture", "empty", *MODEL)
    refused("--out should end in", "cells", "--out", "a.txt", *MODEL)
    (home / "folder.csv").mkdir()
    refused("is a folder", "cells", "--out", "folder.csv", *MODEL)
    refused("The folder for gone/a.csv is not there", "cells", "--out", "gone/a.csv", *MODEL)
    refused("holds no model.json", "cells", "--model", "models/none")

    def away(*_: object) -> None:
        raise OSError("no server")

    monkeypatch.setattr(tracking_store, "connect", away)
    refused("cannot be had from the registry", "cells", "--model", "models:/wbc-classifier@gone")
    with pytest.raises(SystemExit):
        predict("cells", "--uncertain-below", "1.5")


def test_the_champion_is_what_is_used(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = new_home(home / "repository", monkeypatch)
    refused("Nobody is champion yet; `python -m wbc promote`", str(home / "cells"))
    tracking.publish(ARCHITECTURE, *write_model(root, seed=3, temperature=1.3))
    client = tracking_store.connect().client
    client.set_registered_model_alias("wbc-classifier", "champion", "1")
    with caplog.at_level("INFO"):
        cli.main(["predict", str(home / "cells"), "--out", "a.jsonl"])
    cli.main(["predict", str(home / "cells"), "--out", "b.jsonl", *MODEL])
    assert (root / "a.jsonl").read_bytes() == (root / "b.jsonl").read_bytes()
    assert not any("registered with another" in words for words in caplog.messages)


def test_a_file_that_vanishes_in_between_is_a_row(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was found, and is gone when its turn comes."""
    prepare_chunk = preparing.prepare_chunk

    def vanish(chunk: list[preparing.Task], *given: Any) -> list[preparing.Ready]:
        if any(task.name == "cells/deep/11.png" for task in chunk):
            (home / "cells" / "deep" / "11.png").unlink()
        return prepare_chunk(chunk, *given)

    monkeypatch.setattr(preparing, "prepare_chunk", vanish)
    predict("cells", "--out", "a.jsonl")
    table = pd.read_json("a.jsonl", lines=True).set_index("path")
    assert table.loc["cells/deep/11.png", "error"] == "No such file or directory"
    assert table["unreadable"].sum() == 2


def test_a_card_s_framing_is_followed() -> None:
    framing = command.framing_of(card(input={"size": 64, "crop": "mask", "context": 1.2}))
    assert (framing.crop, framing.size, framing.context) == ("cell", 64, 1.2)


def test_the_model_is_named_by_what_it_is(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        predict("cells")
    sha256 = model.model_sha256(home / "models" / ARCHITECTURE)
    assert f"{ARCHITECTURE} ({sha256[:8]}) on CPU" in caplog.messages[0]


def test_onnx_runtime_says_the_same_and_is_continued_by_itself_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    predict("cells", "--out", "torch.jsonl")
    with caplog.at_level("INFO"):
        predict("cells", "--out", "onnx.jsonl", "--runtime", "onnx")
    assert any("with ONNX Runtime" in words for words in caplog.messages)
    wanted, given = (pd.read_json(f"{name}.jsonl", lines=True) for name in ("torch", "onnx"))
    pd.testing.assert_frame_equal(given, wanted, atol=2e-5)
    with monkeypatch.context() as patch:
        stop(patch, "before", 2)
        with pytest.raises(KeyboardInterrupt, match="stopped"):
            command.run(options("cells", "b.jsonl", "--runtime", "onnx"))
    refused("8 rows that were made with another --runtime;", "cells", *MODEL, "--out", "b.jsonl")
    predict("cells", "--out", "b.jsonl", "--runtime", "onnx")
    cli.main(["export", *MODEL, "--out", "net.onnx"])
    cli.main(["predict", "cells", "--model", "net.onnx", "--out", "file.jsonl"])
    whole = (home / "onnx.jsonl").read_bytes()
    assert (home / "b.jsonl").read_bytes() == whole
    of_file = (home / "file.jsonl").read_text().splitlines()
    nothing_usual = {"distance": None, "out_of_domain": None}
    assert [json.loads(line) for line in of_file] == [
        json.loads(line) | nothing_usual for line in whole.splitlines()
    ]
    assert any("holds no reference" in words for words in caplog.messages)
