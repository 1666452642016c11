"""`python -m wbc drift` as a whole: verdict, exit status, files, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from tests.mlflow_home import ARCHITECTURE, new_home, write_model, write_reference
from tests.small_disk import small_disk
from tests.wbc import pictures
from wbc import cli, imaging, model, reference
from wbc.drift import command
from wbc.drift.report import FILES
from wbc.errors import UserError
from wbc.picture_statistics import picture_statistics
from wbc.predicting import command as predicting
from wbc.predicting.command import NO_MASKS, framing_of
from wbc.predicting.inputs import Inputs
from wbc.reference import REFERENCE_FILE, make_reference
from wbc.tracking import store as tracking_store

NUM_CELLS = 30


def cell(seed: int) -> Image.Image:
    """A leukocyte somewhere, in light and noise of its own."""
    rng = np.random.default_rng(seed)
    picture = pictures.cell(120, 120, int(rng.integers(45, 75)), int(rng.integers(45, 75)))
    pixels = np.asarray(picture) * rng.normal(0.95, 0.02) + rng.normal(0, 3, (120, 120, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose reference is of such cells, a month like them and one in other light."""
    home = tmp_path_factory.mktemp("home")
    model_dir = write_model(home, temperature=1.3)[0]
    classifier = model.load(model_dir)
    framing = framing_of(classifier.card)
    squares = np.stack(
        [imaging.prepare(pictures.encoded(cell(seed)), framing).pixels for seed in range(60)]
    )
    outputs, table = classifier.outputs(squares), picture_statistics(squares[20:])
    usual = make_reference(
        outputs.features[:20],
        outputs.features[20:],
        outputs.logits[20:],
        {name: table[name].to_numpy() for name in table},
    )
    reference.write(model_dir / REFERENCE_FILE, usual, model.model_sha256(model_dir))
    for name in ("like", "dark"):
        (home / name).mkdir()
        for seed in range(NUM_CELLS):
            picture = cell(1000 + seed)
            if name == "dark":
                picture = ImageEnhance.Brightness(picture).enhance(0.8)
            (home / name / f"{seed}.png").write_bytes(pictures.encoded(picture))
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it around this process; MLflow is away."""
    shutil.copytree(template, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr(tracking_store, "connect", _away)
    return tmp_path / "home"


def _away(*_: object) -> None:
    raise OSError("no server")


def drift(*arguments: str) -> Any:
    """The exit status, or the sentence of an error."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["drift", *arguments, "--model", f"models/{ARCHITECTURE}"])
    return ended.value.code


def found(folder: str = "drift") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "drift.json").read_text())
    return content


def test_a_month_like_the_reference_has_status_0(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert drift("like") == 0
    assert "like: LIKE TRAINING." in " ".join(caplog.messages)
    warned = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 1 and "no server" in warned[0].getMessage()  # MLflow, once
    said = found()
    assert (said["verdict"], said["exit_status"], said["reasons"]) == ("like training", 0, [])
    assert said["num_cells"] == NUM_CELLS and said["num_reference"] == 40
    assert said["reference"] == "its reference, 40 validation cells"
    assert sum(counts[0] for counts in said["classes"].values()) == NUM_CELLS


def test_a_month_in_other_light_is_named_with_status_3(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "dark" / "0.png").write_bytes(b"no picture")
    with caplog.at_level("INFO"):
        assert drift("dark", "--name", "2026-11") == 3
    said, told = found(), " ".join(caplog.messages)
    assert said["verdict"] in ("shifted", "out of domain") and said["folder"] == "2026-11"
    assert any("background: brightness, darker" in reason for reason in said["reasons"])
    assert said["num_unreadable"] == 1 and "dark/0.png: not an image" in told
    table = pd.read_csv("drift/drift.csv").set_index("measure")
    assert table.loc["background_brightness", "drifted"]
    assert table.loc["background_brightness", "p_corrected"] < 0.01
    assert table["p_corrected"].ge(table["p"]).all() and len(table) == 14
    page = Path("drift/drift.html").read_text()
    for words in (said["reasons"][0].split(" (")[0], "2026-11", "29\u00a0cells", "be read"):
        assert words in page, words
    assert "http" not in page.split("</style>")[1]  # nothing is loaded from elsewhere
    before = {path.name: path.read_bytes() for path in Path("drift").iterdir()}
    Path("drift", "drift.json").write_text("an older report")
    assert drift("dark", "--name", "2026-11") == 3
    assert before == {path.name: path.read_bytes() for path in Path("drift").iterdir()}


def test_what_was_found_is_logged_to_mlflow(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_home(tmp_path / "home", monkeypatch)
    for name in ("models", "dark"):
        shutil.copytree(template / name, tmp_path / "home" / name, dirs_exist_ok=True)
    assert drift("dark", "--name", "2026-11") == 3
    client = tracking_store.connect(tmp_path / "home").client
    (run,) = client.search_runs([client.get_experiment_by_name("wbc-drift").experiment_id])
    said, tags, metrics = found(), run.data.tags, run.data.metrics
    assert run.info.run_name == f"2026-11: {said['verdict']}" and run.info.status == "FINISHED"
    assert tags["drift.model_sha256"] == model.model_sha256(Path("models", ARCHITECTURE))
    assert said["reasons"] and all(reason in tags["drift.reasons"] for reason in said["reasons"])
    assert metrics["num_cells"] == NUM_CELLS
    written = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "drift")}
    assert written == set(FILES)


def test_a_full_disk_is_one_sentence(home: Path) -> None:
    with small_disk(home / "small", 16 / 1024) as disk:
        (disk / "full").write_bytes(bytes(12_000))
        said = drift("like/1.png", "like/2.png", "--out", str(disk / "drift"))
        assert "drift" in said and "cannot be written (No space left on device)" in said
        assert not any((disk / "drift").glob("*.html"))


def test_the_size_of_batches_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "like" / "bad.png").write_bytes(b"no picture")
    assert drift("like") == 0
    monkeypatch.setattr(predicting, "BATCH", 7)
    assert drift("like", "--out", "by-seven") == 0
    for name in FILES:
        assert Path("drift", name).read_bytes() == Path("by-seven", name).read_bytes()


def test_few_cells_are_said_to_be_few(home: Path) -> None:
    assert drift("like/1.png", "like/2.png") == 5
    assert found()["verdict"] == "too few cells to say"


def test_what_cannot_be_compared_is_one_sentence(home: Path) -> None:
    (home / "empty").mkdir()
    assert "empty holds no picture" in drift("empty")
    assert "nowhere was expected" in drift("nowhere")
    (home / "broken").mkdir()
    for name in ("a.png", "b.png"):
        (home / "broken" / name).write_bytes(b"x")
    said = drift("broken")
    assert "None of the 2 files of broken can be read" in said and "broken/a.png" in said
    path = Path("models", ARCHITECTURE, REFERENCE_FILE)
    path.rename(home / "kept")
    assert "was expected to have a reference.safetensors" in drift("like")
    assert "other was expected to be" in drift("like", "--reference", "other")
    assert not Path("drift").exists()
    assert drift("like", "--reference", "kept") == 0
    assert found()["reference"] == "the reference kept, 40 validation cells"
    Path("file").write_text("")
    assert "file is a file" in drift("like", "--reference", "kept", "--out", "file")
    assert "cannot be written" in drift("like", "--reference", "kept", "--out", "file/drift")


def test_out_of_something_else_is_left_alone(home: Path) -> None:
    (home / "notes").mkdir()
    (home / "notes" / "drift.html").write_text("mine")
    assert "notes holds something else already" in drift("like/1.png", "--out", "notes")
    assert [path.read_text() for path in (home / "notes").iterdir()] == ["mine"]
    assert "like holds something else already" in drift("like/1.png", "--out", "like")


def test_the_reference_of_another_model_is_refused(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = write_reference(write_model(home / "other", seed=2)[0])
    path = home / "other" / "models" / ARCHITECTURE / REFERENCE_FILE
    said = drift("like", "--reference", str(path))
    assert "is the reference of another model (" in said and not Path("drift").exists()
    sha256 = model.model_sha256(Path("models", ARCHITECTURE))
    with pytest.raises(UserError, match="another model"):
        command.read_reference(path, sha256, named=False)
    assert not caplog.messages
    reference.write(path, other)  # as before files said whose they are
    command.read_reference(path, sha256, named=True)
    assert "does not say which model it is of" in caplog.text


def test_a_model_of_masks_says_that_there_are_none(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usual = reference.read(Path("models", ARCHITECTURE, REFERENCE_FILE))
    assert usual is not None
    model_dir = write_model(home, input={"size": 64, "crop": "mask", "context": 1.5})[0]
    classifier = model.load(model_dir)
    seen = command.look(Inputs(["like/1.png", "like/2.png"], ()), classifier, usual)
    words = command.Words("model", "its reference")
    notes = command.report_of(seen, classifier, usual, "like", words).verdict.notes
    assert notes[:2] == (NO_MASKS, command.NOT_COMPARABLE)
    cli.main(["predict", "like/1.png", "--model", str(model_dir), "--out", "one.csv"])
    assert NO_MASKS in caplog.text
