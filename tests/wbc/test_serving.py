"""wbc.serving: a version answers from its own code, alone or beside other code."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import wbc
from tests.mlflow_home import write_model
from wbc import imaging, model
from wbc.cells import CLASSES
from wbc.registry import packaging

FRAMING = imaging.Framing(64, "cell", 1.5)  # as tests.mlflow_home records it
PROBABILITIES = [f"p_{name}" for name in CLASSES]
DISTRIBUTIONS = {"PIL": "pillow", "ruamel": "ruamel.yaml"}
PREDICT = """
import wbc.imaging, wbc.model  # the edited files, found in the working directory
import base64, json, sys
import mlflow, pandas as pd
images = [base64.b64decode(text) for text in json.load(sys.stdin)]
served = mlflow.pyfunc.load_model(sys.argv[1]).predict(pd.DataFrame({"image": images}))
print(json.dumps(served.to_dict("records")))
"""


def _image(seed: int) -> bytes:
    """A dark blob on a light ground, encoded as PNG."""
    noise = np.random.default_rng(seed).normal(0, 6, (90, 90, 3))
    y, x = np.mgrid[:90, :90]
    blob = ((y - 45) ** 2 + (x - 40 - seed) ** 2 < 300)[..., None]
    colour = np.where(blob, (90, 40, 130), (225, 205, 210)) + noise
    file = io.BytesIO()
    Image.fromarray(colour.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


IMAGES = [_image(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))[0]


@pytest.fixture(scope="module")
def version(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("version") / "version"
    packaging.package(model_dir, target)
    return target


@pytest.fixture(scope="module")
def served(version: Path) -> Any:
    return mlflow.pyfunc.load_model(str(version))


def _predict(served: Any, images: list[Any]) -> pd.DataFrame:
    answers: pd.DataFrame = served.predict(pd.DataFrame({"image": images}))
    return answers


def test_a_version_answers_as_the_model_does(served: Any, model_dir: Path) -> None:
    answers = _predict(served, IMAGES)

    classifier = model.load(model_dir)
    pixels = np.stack([imaging.prepare(image, FRAMING).pixels for image in IMAGES])
    expected = classifier.probabilities(pixels)
    np.testing.assert_allclose(answers[PROBABILITIES].to_numpy(), expected, rtol=1e-6)
    assert list(answers["class"]) == [CLASSES[i] for i in classifier.decide(expected)]
    assert list(answers["error"]) == ["", "", ""]
    assert answers["located"].all()
    assert answers["out_of_domain"].isna().all()  # no reference lies beside the model


def test_a_version_frames_pictures_as_its_model_learned(tmp_path: Path) -> None:
    """Wider than `served` does; the card is of a time when two settings more stood in it."""
    framing = imaging.Framing(64, "cell", 3.0)
    settings = framing.settings() | {"light": "keep", "surroundings": "keep"}
    model_dir = write_model(tmp_path, input=settings)[0]
    packaging.package(model_dir, tmp_path / "version")
    answers = _predict(mlflow.pyfunc.load_model(str(tmp_path / "version")), IMAGES)
    classifier = model.load(model_dir)
    pixels = [np.stack([imaging.prepare(x, f).pixels for x in IMAGES]) for f in (framing, FRAMING)]
    same, other = (classifier.probabilities(squares) for squares in pixels)
    np.testing.assert_allclose(answers[PROBABILITIES].to_numpy(), same, rtol=1e-6)
    assert not np.allclose(same, other, rtol=1e-4)


def test_probabilities_are_calibrated_unless_told_otherwise(tmp_path: Path) -> None:
    model_dir = write_model(tmp_path, temperature=0.5)[0]
    packaging.package(model_dir, tmp_path / "version")
    served = mlflow.pyfunc.load_model(str(tmp_path / "version"))
    classifier = model.load(model_dir)
    pixels = np.stack([imaging.prepare(image, FRAMING).pixels for image in IMAGES])
    table = pd.DataFrame({"image": IMAGES})
    calibrated, plain = served.predict(table), served.predict(table, {"calibrated": False})
    for answers, asked in ((calibrated, True), (plain, False)):
        expected = classifier.probabilities(pixels, calibrated=asked)
        np.testing.assert_allclose(answers[PROBABILITIES].to_numpy(), expected, rtol=1e-6)
    assert list(calibrated["class"]) == list(plain["class"])
    assert not np.allclose(calibrated[PROBABILITIES], plain[PROBABILITIES])


def test_every_kind_of_bytes_is_the_same_image(served: Any) -> None:
    answers = _predict(served, [bytearray(IMAGES[0]), memoryview(IMAGES[0])])
    assert list(answers["error"]) == ["", ""]


def test_base64_text_is_the_same_image(served: Any) -> None:
    texts = [base64.b64encode(image).decode() for image in IMAGES]
    expected = _predict(served, IMAGES)
    pd.testing.assert_frame_equal(_predict(served, texts), expected)
    urls = [f"data:image/png;base64,{text}" for text in texts]
    pd.testing.assert_frame_equal(_predict(served, urls), expected)


def test_one_bad_image_does_not_stop_the_batch(served: Any) -> None:
    answers = _predict(served, [IMAGES[0], b"", b"not an image", IMAGES[1][:200], IMAGES[2]])

    assert list(answers["class"][1:4]) == ["unreadable"] * 3
    assert list(answers["error"][:3]) == ["", "empty file", "not an image"]
    assert answers["error"][3]
    assert not answers["located"][1:4].any()
    assert (answers[PROBABILITIES][1:4] == 0).all(axis=None)
    good = answers.iloc[[0, 4]].reset_index(drop=True)
    alone = _predict(served, [IMAGES[0], IMAGES[2]])
    pd.testing.assert_frame_equal(good, alone, check_exact=False, rtol=1e-5)


@pytest.mark.parametrize(
    "row", [None, float("nan"), 5, np.int64(5), [1, 2], {}, "äöü", "no base64!", "data:image/png"]
)
def test_a_row_that_holds_no_encoded_image_does_not_stop_the_batch(served: Any, row: Any) -> None:
    answers = _predict(served, [row, IMAGES[0]])

    assert list(answers["class"]) == ["unreadable", _predict(served, IMAGES[:1])["class"][0]]
    assert "base64" in answers["error"][0]
    assert (answers[PROBABILITIES].iloc[0] == 0).all()


def test_rows_keep_their_order_over_batches(served: Any) -> None:
    many = [IMAGES[i % 3] for i in range(70)]
    answers = _predict(served, many)
    assert len(answers) == 70
    alone = _predict(served, IMAGES)
    repeated = alone[PROBABILITIES].to_numpy()[np.arange(70) % 3]
    np.testing.assert_allclose(answers[PROBABILITIES].to_numpy(), repeated, rtol=1e-4)


def test_the_columns_are_those_of_the_signature(served: Any) -> None:
    signature = served.metadata.signature
    assert signature.inputs.input_names() == ["image"]
    answers = _predict(served, IMAGES[:1])
    assert list(answers.columns) == signature.outputs.input_names()
    nothing = served.predict(pd.DataFrame({"image": pd.Series([], dtype=object)}))
    assert list(nothing.columns) == list(answers.columns)


def test_a_version_holds_no_pickle_and_no_cache(version: Path) -> None:
    names = {str(path.relative_to(version)) for path in version.rglob("*")}
    assert {"serving.py", "code/wbc/imaging.py", "artifacts/model.safetensors"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pyc")) or "__pycache__" in name]


def test_later_edits_of_the_workspace_change_no_answer(
    version: Path, served: Any, tmp_path: Path
) -> None:
    """A clean process started in the edited workspace, where `import wbc` finds the edit."""
    package = Path(wbc.__file__).parent
    shutil.copytree(package, tmp_path / "wbc", ignore=shutil.ignore_patterns("__pycache__"))
    edited = tmp_path / "wbc" / "imaging.py"
    edited.write_text(edited.read_text() + "\n\ndef prepare(*_):\n    raise SystemExit('edited')\n")
    texts = [base64.b64encode(image).decode() for image in IMAGES]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    done = subprocess.run(
        [sys.executable, "-c", PREDICT, str(version)],
        cwd=tmp_path,
        env=clean,
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers, here = pd.DataFrame(json.loads(done.stdout)), _predict(served, IMAGES)
    assert list(answers["class"]) == list(here["class"])
    # What earlier tests have left in this process may change a sum's last digit.
    assert np.allclose(answers[PROBABILITIES], here[PROBABILITIES], rtol=0, atol=1e-6)


def test_the_requirements_cover_what_a_version_imports() -> None:
    package = Path(wbc.__file__).parent
    pinned = {line.split("==")[0] for line in packaging.requirements()}
    todo, own, foreign = {"serving", "imaging", "model", "reference"}, set(), set()
    while todo:
        own.add(module := todo.pop())
        source = (package / f"{module}.py").read_text()
        names = re.findall(r"^\s*(?:from|import) ([\w.]+)", source, re.MULTILINE)
        foreign |= {name.split(".")[0] for name in names} - {"wbc"}
        inside = {name.split(".")[1] for name in names if name.startswith("wbc.")}
        todo |= inside - own
    named = {DISTRIBUTIONS.get(name, name) for name in foreign - sys.stdlib_module_names}
    assert named <= pinned


def test_the_workspaces_package_stays_as_it_was(served: Any) -> None:
    before = {name: module for name, module in sys.modules.items() if name.startswith("wbc")}
    _predict(served, IMAGES[:1])
    after = {name: module for name, module in sys.modules.items() if name.startswith("wbc")}
    assert after == before
    assert sys.modules["wbc.imaging"] is imaging


def test_bytes_that_are_base64_are_the_same_image(served: Any) -> None:
    """MLflow's server hands them on so in the layout `inputs`."""
    texts = [base64.b64encode(image) for image in IMAGES]
    pd.testing.assert_frame_equal(_predict(served, texts), _predict(served, IMAGES))
