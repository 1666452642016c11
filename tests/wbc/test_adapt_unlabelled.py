"""`adapt --unlabelled`: a version for another laboratory without reading one label."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.mlflow_home import ARCHITECTURE, card, write_reference
from tests.wbc.stores import SIZE
from tests.wbc.test_adapt_command import INPUT, SOURCES, home  # noqa: F401
from wbc import adapt_command, adapt_unlabelled, cli, model, reference
from wbc.cells import CLASSES, read_table, write_table

Home = pytest.FixtureRequest


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store of the tests has 40 cells of the other laboratory."""
    monkeypatch.setattr(adapt_unlabelled, "MIN_CELLS", 40)


def adapt(*more: str, place: str = "abroad") -> None:
    cli.main(["adapt", place, "--unlabelled", "--model", f"models/{ARCHITECTURE}", *more])


def refused(words: str, *more: str, place: str = "abroad") -> None:
    with pytest.raises(SystemExit, match=words) as ended:
        adapt(*more, place=place)
    assert str(ended.value.code).startswith("error: ") and "\n" not in str(ended.value.code)


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(count):
        pixels = rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.usefixtures("few")
def test_decisions_are_shifted_and_weights_stay(home: Path) -> None:  # noqa: F811
    parent_dir = home / "models" / ARCHITECTURE
    usual = write_reference(parent_dir)
    adapt()
    out = home / "adapted" / "abroad-unlabelled" / ARCHITECTURE
    kept = reference.read(out / reference.REFERENCE_FILE)
    assert kept is not None and np.array_equal(kept.features, usual.features)
    offsets = json.loads((out / "model.json").read_text())["offsets"]
    np.testing.assert_allclose(kept.logits - usual.logits, [offsets] * 40, atol=1e-5)
    new, parent = model.load(out), model.load(parent_dir)
    assert (out / "model.safetensors").read_bytes() == (
        parent_dir / "model.safetensors"
    ).read_bytes()
    assert new.card["adapted"] == {
        "from": model.model_sha256(parent_dir),
        "set": "abroad",
        "unlabelled": 40,
    }
    mix = read_table(out / "mix.csv")
    assert list(mix["class"]) == list(CLASSES)
    pixels = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    shift = new.outputs(pixels).logits - parent.outputs(pixels).logits
    assert shift == pytest.approx(np.tile(1.5 * mix["offset"].astype(float), (2, 1)), abs=1e-5)
    found = json.loads((out / "before_after.json").read_text())
    assert list(found["sets"]) == ["abroad", "test"]
    assert found["sets"]["abroad"]["after"]["num_cells"] == 40
    report = (out / "report.html").read_text()
    assert "No label was read" in report and "monocytes: " in report and "wrong" in report


@pytest.mark.usefixtures("few")
def test_labels_change_nothing_but_the_scores(home: Path) -> None:  # noqa: F811
    adapt()
    card_path = home / "adapted" / "abroad-unlabelled" / ARCHITECTURE / "model.json"
    first = card_path.read_bytes()
    path = home / "data" / "pixels" / "index.csv"
    table = read_table(path)
    abroad = table["split"] == "abroad"
    table.loc[abroad, "label"] = table.loc[abroad, "label"].to_numpy()[::-1]
    write_table(table, path)
    adapt()
    assert card_path.read_bytes() == first


@pytest.mark.usefixtures("few")
def test_a_folder_of_pictures_needs_no_labels_at_all(home: Path) -> None:  # noqa: F811
    folder = pictures(home / "Klinik Süd" / "Monday", 44)
    (folder / "broken.png").write_bytes(b"no picture")
    adapt(place=str(folder))
    out = home / "adapted" / "monday-unlabelled" / ARCHITECTURE
    assert json.loads((out / "model.json").read_text())["adapted"]["unlabelled"] == 44
    assert json.loads((out / "before_after.json").read_text())["sets"] == {}
    assert "44 cells of monday" in (out / "report.md").read_text()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("place", ["abroad", "pictures"])
def test_a_model_that_gives_no_numbers_is_not_adapted(home: Path, place: str) -> None:  # noqa: F811
    """It would be registered as one that needs no correction."""
    weights = home / "models" / ARCHITECTURE / model.WEIGHTS_FILE
    state = load_file(weights)
    save_file({name: tensor * torch.nan for name, tensor in state.items()}, weights)
    pictures(home / "pictures", 41)
    refused("answers with what is no number", place=place)
    assert not (home / "adapted").exists()


def test_too_few_cells_are_refused(home: Path) -> None:  # noqa: F811
    refused("At least 50 cells are needed to see a mix, but abroad has 40")
    folder = pictures(home / "small", 3)
    (folder / "broken.png").write_bytes(b"no picture")
    refused(r"small has 3 \(1 more cannot be read\)", place=str(folder))


@pytest.mark.usefixtures("few")
def test_models_that_cannot_be_corrected_are_refused(home: Path) -> None:  # noqa: F811
    refused("mars is neither a folder of pictures nor a set .* val, test, abroad", place="mars")
    refused("has learned from test", place="test")
    refused("--per-class is for learning from labelled cells", "--per-class", "3")
    path = home / "models" / ARCHITECTURE / "model.json"
    changed = {"sources": SOURCES, "input": INPUT}
    plain = card(decision="argmax", log_prior=[0.0] * 5, **changed)
    path.write_text(json.dumps(plain))
    refused("train one with logit_adjustment or loss_weights")
    path.write_text(json.dumps(card(**changed)))
    adapt()
    adapted = home / "adapted" / "abroad-unlabelled" / ARCHITECTURE
    refused("corrected for abroad already", "--model", str(adapted))
    path.write_text(json.dumps(card(**changed | {"input": INPUT | {"crop": "mask"}})))
    folder = pictures(home / "masks", 3)
    refused("has no masks of its cells", place=str(folder))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("parameters", None),
        ("parameters", [1]),
        ("parameters", {"model.dropout": "much"}),
        ("parameters", {"model.dropout": 7}),
        ("sources", None),
        ("sources", 7),
        ("sources", [{"name": "a"}]),
        ("inputs", None),
        ("inputs", {}),
        ("drawn", None),
        ("start_note", None),
        ("adapted", 7),
    ],
)
def test_a_card_that_says_too_little_is_one_sentence(
    home: Path,  # noqa: F811
    name: str,
    value: object,
) -> None:
    """None: without it. Older cards and those of others, which predict takes."""
    path = home / "models" / ARCHITECTURE / "model.json"
    changed = card(sources=SOURCES, input=INPUT) | {name: value}
    path.write_text(json.dumps({key: each for key, each in changed.items() if each is not None}))
    model.load(path.parent)
    refused(f"can be used but not adapted: its model.json does not say {name} as")
    with pytest.raises(SystemExit, match="can be used but not adapted"):
        cli.main(["adapt", "abroad", "--model", f"models/{ARCHITECTURE}", "--epochs", "1"])


@pytest.mark.usefixtures("few")
def test_learning_from_labels_afterwards_forgets_the_offsets(home: Path) -> None:  # noqa: F811
    adapt()
    start = "adapted/abroad-unlabelled/" + ARCHITECTURE
    cli.main(["adapt", "abroad", "--model", start, "--epochs", "1", "--per-class", "3"])
    new = model.load(home / adapt_command.ADAPTED_DIR / "abroad-3" / f"{ARCHITECTURE}-1")
    assert "offsets" not in new.card and new.card["adapted"]["per_class"] == 3
