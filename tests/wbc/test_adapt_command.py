"""`python -m wbc adapt`: from a model and a store to a model adapted to another laboratory."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.mlflow_home import ARCHITECTURE, card, write_model
from tests.wbc.stores import SIZE, make_store
from wbc import adapt_command, cli, model, reference
from wbc.cells import read_table, write_table
from wbc.tracking import store as tracking_store

ROOT = Path(__file__).parent.parent.parent
INPUT = {"size": SIZE, "crop": "none", "context": 1.5}
SOURCES = [
    {"name": "blobs", "kind": "folder", "role": "auto"},
    {"name": "abroad", "kind": "folder", "role": "external"},
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with pixels of two laboratories and a model of the first; MLflow is away."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text)
    pixels = tmp_path / "data" / "pixels"
    make_store(pixels, {"train": 6, "val": 2, "test": 3, "abroad": 8})
    table = read_table(pixels / "index.csv")
    table.loc[table["split"] == "abroad", "source"] = "abroad"
    write_table(table, pixels / "index.csv")
    write_model(tmp_path, sources=SOURCES, input=INPUT, temperature=1.5)
    monkeypatch.setattr(tracking_store, "connect", _away)
    yield tmp_path


def _away(*_: object) -> None:
    raise OSError("no server")


def adapt(*more: str, name: str = "abroad") -> None:
    cli.main(["adapt", name, "--model", f"models/{ARCHITECTURE}", "--epochs", "1", *more])


def results(home: Path, folder: str = f"abroad-3/{ARCHITECTURE}-1") -> tuple[Path, Any]:
    out = home / "adapted" / folder
    return out, json.loads((out / "before_after.json").read_text())


def test_a_model_learns_from_some_cells_and_is_judged_by_the_others(home: Path) -> None:
    adapt("--per-class", "3")
    out, found = results(home)
    new, parent = model.load(out), model.load(home / "models" / ARCHITECTURE)
    cells = new.card["adapted"]["cells"]
    assert len(cells) == 15 and all(path.startswith("abroad/") for path in cells)
    assert new.card["adapted"]["num_rehearsed"] == 15
    assert new.card["adapted"]["from"] == model.model_sha256(home / "models" / ARCHITECTURE)
    assert new.card["temperature"] == 1.5 and new.card["start"] == "adapted"
    assert list(found["sets"]) == ["abroad", "test"]
    assert found["sets"]["abroad"]["before"]["num_cells"] == 40 - 15
    assert sum(found["sets"]["abroad"]["confusion_after"]["monocyte"].values()) == 5
    usual = reference.read(out / reference.REFERENCE_FILE)
    assert usual is not None and (len(usual.features), len(usual.distances)) == (30, 40 - 15)
    pixels = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    assert not np.allclose(new.probabilities(pixels), parent.probabilities(pixels))
    table = read_table(out / "before_after.csv")
    assert set(table["set"]) == {"abroad", "test"}
    for name in ("report.md", "report.html"):
        assert "15 labelled cells of abroad" in (out / name).read_text()


def test_the_same_command_gives_the_same_bytes(home: Path) -> None:
    adapt("--per-class", "3")
    out, _ = results(home)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    shutil.rmtree(out)
    adapt("--per-class", "3")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    adapt("--per-class", "3", "--seed", "2")
    assert model.model_sha256(home / "adapted" / "abroad-3" / f"{ARCHITECTURE}-2") != (
        model.model_sha256(out)
    )


def test_a_run_that_ends_early_leaves_no_model_and_the_former_one_as_it_was(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapt("--per-class", "3")
    out, _ = results(home)
    first = {path.name: path.read_bytes() for path in out.iterdir()}

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(adapt_command, "judge", end)
    for seed in ("1", "2"):
        with pytest.raises(BaseException):  # noqa: B017 - whatever Ctrl-C becomes
            adapt("--per-class", "3", "--seed", seed)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def refused(words: str, *more: str, name: str = "abroad") -> None:
    with pytest.raises(SystemExit, match=words) as ended:
        adapt(*more, name=name)
    assert str(ended.value.code).startswith("error: ") and "\n" not in str(ended.value.code)


def test_what_cannot_be_adapted_to_is_refused_in_a_sentence(home: Path) -> None:
    refused("mars is no set of another .*data/pixels has abroad", name="mars")
    for own in ("blobs", "test", "val"):
        refused(f"has learned from {own}, or was chosen by it", name=own)
    refused("holds no model.json", "--model", "models/nothing")
    refused("cannot be had from the registry .no server.", "--model", "models:/wbc-classifier@x")


def test_a_model_is_adapted_to_a_set_once(home: Path) -> None:
    """And copies that split has listed are one unit of the draw: here all monocytes."""
    monocytes = [f"abroad/monocyte/{number}.png" for number in range(8)]
    pairs = pd.DataFrame({"path_a": monocytes[:-1], "path_b": monocytes[1:]})
    write_table(pairs, home / adapt_command.COPIES_PATH)
    adapt("--per-class", "3")
    cells = model.read_card(home / "adapted" / "abroad-3" / f"{ARCHITECTURE}-1")["adapted"]["cells"]
    assert len(cells) == 12 and not set(cells) & set(monocytes)
    refused("has learned from abroad", "--model", f"adapted/abroad-3/{ARCHITECTURE}-1")


def test_other_models_are_refused_in_a_sentence(home: Path) -> None:
    path = home / "models" / ARCHITECTURE / "model.json"
    path.write_text(json.dumps(card(sources=SOURCES, input=INPUT | {"crop": "cell"})))
    refused("expects cells with preprocess.crop cell, but data/pixels was made with none")
    path.write_text(json.dumps(card(sources=SOURCES, input=INPUT | {"light": "neutral"})))
    refused("expected to have preprocess.light keep, but has neutral, .* or train anew")
    path.write_text(json.dumps(card(architecture="classical", input=INPUT)))
    refused("holds classical, which has no layers to fine-tune")
    path.write_text("{")
    refused("holds no readable model")


def test_no_pixels_are_said_in_a_sentence(home: Path) -> None:
    shutil.rmtree(home / "data")
    refused("data/pixels was expected but is not there; run `dvc repro` first")


@pytest.mark.parametrize("words", [("--per-class", "0"), ("--seed", "-1"), ("--epochs", "x")])
def test_numbers_are_checked(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["adapt", "abroad", f"{words[0]}={words[1]}"])
    assert ended.value.code == 2 and "expected a whole number from" in capsys.readouterr().err
