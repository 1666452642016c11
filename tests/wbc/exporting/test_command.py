"""`python -m wbc export`: files that say what PyTorch says, and none where they do not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.mlflow_home import ARCHITECTURE, card, write_model
from tests.small_disk import small_disk
from wbc import cli, model
from wbc.backbones import Network
from wbc.errors import UserError
from wbc.exporting import check, command, formats, onnx_runtime
from wbc.model import Outputs

MODEL = ("--model", f"models/{ARCHITECTURE}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_model(tmp_path, temperature=1.3, offsets=[0.5, 0.0, -0.5, 0.0, 0.0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(*arguments: str) -> None:
    cli.main(["export", *arguments])


def refused(words: str, *arguments: str) -> None:
    with pytest.raises(SystemExit, match=words) as ended:
        export(*arguments)
    assert str(ended.value.code).startswith("error: ") and "\n" not in str(ended.value.code)


def wanted(home: Path, squares: np.ndarray) -> Outputs:
    return model.load(home / "models" / ARCHITECTURE).outputs(squares)


def test_an_onnx_file_is_all_that_a_stranger_needs(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Read by nothing but onnxruntime, with what the file itself says."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    with caplog.at_level("INFO"):
        export(*MODEL)
    sha256 = model.model_sha256(home / "models" / ARCHITECTURE)
    path = home / f"{ARCHITECTURE}-{sha256[:8]}.onnx"
    assert f"ONNX, opset {formats.OPSET}" in caplog.messages[-1]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    notes = session.get_modelmeta().custom_metadata_map
    card = json.loads(notes["model.json"])
    assert notes["model_sha256"] == sha256 and card["temperature"] == 1.3
    assert card == json.loads((home / "models" / ARCHITECTURE / "model.json").read_text())
    squares = check.drawn_squares(card["input"]["size"], 5)
    for batch in (squares[:1], squares):
        logits, features = session.run(["logits", "features"], {"squares": batch})
        outputs = wanted(home, batch)
        assert check.relative_error(outputs.logits, logits) < 1e-5
        assert check.relative_error(outputs.features, features) < 1e-5
    assert str(home).encode() not in path.read_bytes() and b".py" not in path.read_bytes()
    before = path.read_bytes()
    export(*MODEL, "--out", "again.onnx")
    assert Path("again.onnx").read_bytes() == before
    assert not list(home.glob("*.part"))


def test_a_pt2_file_is_loaded_by_torch_alone(home: Path) -> None:
    """In a process of its own, from a folder without this project."""
    export(*MODEL, "--format", "pt2", "--out", "a.pt2")
    squares = check.drawn_squares(64, 3)
    np.save("squares.npy", squares)
    code = (
        "import numpy, torch; files = {'model.json': ''};"
        "net = torch.export.load('a.pt2', extra_files=files).module();"
        "squares = torch.from_numpy(numpy.load('squares.npy'));"
        "numpy.save('logits.npy', torch.cat([net(squares)[0], net(squares[:1])[0]]).detach());"
        "open('card.json', 'w').write(files['model.json'])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=home, capture_output=True)
    both = np.load("logits.npy")
    outputs = wanted(home, squares)
    assert check.relative_error(outputs.logits, both[:3]) < 1e-5
    assert check.relative_error(outputs.logits[:1], both[3:]) < 1e-5
    assert json.loads(Path("card.json").read_text())["temperature"] == 1.3
    assert str(home).encode() not in Path("a.pt2").read_bytes()


def test_a_file_that_says_something_else_is_not_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = formats.run_pt2
    monkeypatch.setattr(formats, "run_pt2", lambda content: faulty(load(content), "logits"))
    before = sorted(home.iterdir())
    refused("a.pt2 was not written: on 10 drawn cells", *MODEL, "--format", "pt2", "--out", "a.pt2")
    assert sorted(home.iterdir()) == before


@pytest.mark.parametrize("fault", ["", "logits", "features", "classes", "nan"])
def test_every_difference_counts(home: Path, fault: str) -> None:
    classifier = model.load(home / "models" / ARCHITECTURE)
    assert check.compare(classifier, faulty(classifier.outputs, fault)).holds() == (not fault)


def faulty(run: formats.Run, fault: str) -> formats.Run:
    """The same answers but for one fault at one size of batch."""

    def answer(squares: np.ndarray) -> Outputs:
        given = run(squares)
        logits, features = given.logits.copy(), given.features.copy()
        if len(squares) == max(check.BATCHES):
            if fault == "logits":
                logits[0] *= 1.0003
            if fault == "features":
                features[0] *= 1.5
            if fault == "classes":
                logits = logits[:, ::-1].copy()
            if fault == "nan":
                logits[0, 0] = np.nan
        return Outputs(logits, features)

    return answer


def test_a_full_disk_leaves_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "exported", lambda *_: (bytes(1 << 20), None))
    with small_disk(home / "small", 16 / 1024) as disk:
        refused(
            "cannot be written .no space is left", *MODEL, "--format", "pt2",
            "--out", str(disk / "a.pt2"),
        )  # fmt: skip
        assert not list(disk.glob("a.*"))


def test_mistakes_are_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused("should end in .pt2", *MODEL, "--format", "pt2", "--out", "a.onnx")
    refused(
        "The folder for gone/a.pt2 is not there", *MODEL, "--format", "pt2", "--out", "gone/a.pt2"
    )
    refused("holds no model.json", "--model", "models/none", "--format", "pt2")
    classical: Any = type("Baseline", (), {"card": {"architecture": "classical"}})()
    monkeypatch.setattr(model, "load", lambda *_: classical)
    refused("no network, so there is nothing to export", *MODEL, "--format", "pt2")


def test_missing_packages_are_named_with_the_command(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refused("type: pip install -r requirements-onnx.txt", *MODEL)
    with pytest.raises(SystemExit, match="type: pip install"):
        cli.main(["predict", ".", *MODEL, "--runtime", "onnx"])


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_each_package_that_export_needs_is_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, name, None)
    refused("ONNX needs packages that are not installed", *MODEL)


def test_a_damaged_or_foreign_file_is_one_sentence(home: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    Path("a.onnx").write_bytes(b"no graph")
    with pytest.raises(SystemExit, match="no file that `python -m wbc export` made"):
        cli.main(["predict", ".", "--model", "a.onnx"])
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([node], "foreign", [value], [other])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), "b.onnx")
    with pytest.raises(SystemExit, match="no file that `python -m wbc export` made"):
        cli.main(["predict", ".", "--model", "b.onnx"])
    with pytest.raises(SystemExit, match="which cannot be read"):
        cli.main(["predict", ".", "--model", "gone.onnx"])
    with pytest.raises(SystemExit, match="leave --runtime torch out"):
        cli.main(["predict", ".", "--model", "b.onnx", "--runtime", "torch"])


@pytest.mark.parametrize("other", ["none", "input", "size", "output", "shape"])
def test_a_right_card_on_another_graph_is_one_sentence(other: str) -> None:
    """Drawn here; `none`: the graph that the card fits."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    size, name = 64 + 16 * (other == "size"), "x" if other == "input" else "squares"
    last = "y" if other == "output" else "features"
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", [name], ["numbers"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["numbers", "axes"], ["mean"], keepdims=0),
        helper.make_node("Concat", ["mean", "mean"], ["six"], axis=1),
        helper.make_node("Slice", ["six", "zero", "five", "one"], ["few"]),
        helper.make_node("Identity", ["numbers" if other == "shape" else "few"], ["logits"]),
        helper.make_node("Identity", ["mean"], [last]),
    ]
    numbers = [("axes", [1, 2]), ("zero", [0]), ("five", [5]), ("one", [1])]
    graph = helper.make_graph(
        nodes,
        "other",
        [helper.make_tensor_value_info(name, kinds.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info(each, kinds.FLOAT, None) for each in ("logits", last)],
        [helper.make_tensor(each, kinds.INT64, [len(value)], value) for each, value in numbers],
    )
    opset = [helper.make_opsetid("", formats.OPSET)]
    proto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    helper.set_model_props(proto, formats.metadata(card(), "ab"))
    content = proto.SerializeToString()
    if other == "none":
        squares = np.zeros((3, 64, 64, 3), np.uint8)
        assert onnx_runtime.classifier_of(content, "a.onnx").outputs(squares).logits.shape == (3, 5)
        return
    with pytest.raises(UserError, match=r"a.onnx is no file .*\(its graph makes .*; make it again"):
        onnx_runtime.classifier_of(content, "a.onnx")


@pytest.mark.parametrize("name", ["googlenet", "shufflenet_v2_x1_0", "mobilenet_v3_small"])
def test_networks_of_every_kind_are_exported(name: str) -> None:
    """Those with a step of their own: branches, channels mixed, gates."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    described = card(architecture=name, input={"size": 32, "crop": "none", "context": 1.0})
    classifier = model.classifier(Network(name, 0.0, True), described, "cpu")
    _, parity = command.exported(classifier, "ab", "onnx", name)
    assert parity.holds() and parity.num_squares == sum(check.BATCHES)
