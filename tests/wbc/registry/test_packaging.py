"""wbc.registry.packaging: what MLflow is given; a version that MLflow wrote: test_loading.py."""

import warnings
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest

import wbc
from wbc.cells import CLASSES
from wbc.registry import packaging


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    for name in ("model.safetensors", "model.json"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_version_has_its_own_code_files_and_signature(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    given: dict[str, Any] = {}

    def save(**named: Any) -> None:
        given.update(named)
        (code,) = map(Path, named["code_paths"])
        given["names"] = {path.relative_to(code).as_posix() for path in code.rglob("*")}
        assert Path(named["python_model"]) == code / "serving.py" and code.name == "wbc"
        warnings.warn("An input example was not provided: hm", UserWarning, stacklevel=1)
        warnings.warn("another", UserWarning, stacklevel=1)

    monkeypatch.setattr(mlflow.pyfunc, "save_model", save)
    here = model_dir / "here" / "wbc"
    (here / "sub" / "__pycache__").mkdir(parents=True)
    for name in ("__init__.py", "serving.py", "page.html", "old.pyc", "sub/__pycache__/x"):
        (here / name).write_text("x")
    monkeypatch.setattr(wbc, "__file__", str(here / "__init__.py"))
    packaging.package(model_dir, model_dir / "version", "m-1", "run-1")
    assert given["path"] == str(model_dir / "version")
    assert given["names"] == {"__init__.py", "serving.py", "page.html", "sub"}
    assert given["artifacts"] == packaging.artifacts(model_dir)
    assert given["pip_requirements"] == packaging.requirements()
    model = given["mlflow_model"]
    assert (model.model_uuid, model.model_id, model.run_id) == ("m-1", "m-1", "run-1")
    signature = given["signature"]
    (image,) = signature.inputs.to_dict()
    assert (image["name"], image["type"], image["required"]) == ("image", "binary", True)
    assert [(column.name, column.type.name) for column in signature.outputs] == [
        ("class", "string"), *((f"p_{name}", "double") for name in CLASSES),
        ("located", "boolean"), ("out_of_domain", "boolean"), ("error", "string"),
    ]  # fmt: skip
    (param,) = signature.params.to_dict()
    assert (param["name"], param["type"], param["default"]) == ("calibrated", "boolean", True)
    said = [str(warning.message) for warning in recwarn]
    assert "another" in said and not any("input example" in words for words in said)


def test_a_version_for_serving_alone_has_no_ids(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(mlflow.pyfunc, "save_model", lambda **named: given.update(named))
    packaging.package(model_dir, model_dir / "version")
    assert given["mlflow_model"].model_id == "" and given["mlflow_model"].model_uuid is None
    assert given["mlflow_model"].run_id == ""


def test_files_go_by_the_names_that_serving_knows(model_dir: Path) -> None:
    known = {
        "weights": str(model_dir / "model.safetensors"), "card": str(model_dir / "model.json"),
    }  # fmt: skip
    assert packaging.artifacts(model_dir) == known
    (model_dir / "reference.safetensors").write_bytes(b"x")
    assert packaging.artifacts(model_dir) == known | {
        "reference": str(model_dir / "reference.safetensors")
    }


def test_requirements_are_pinned_as_installed_without_a_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packaging, "installed", lambda name: f"{len(name)}.0+rocm6.4+x")
    assert packaging.requirements() == [f"{name}=={len(name)}.0" for name in packaging.PACKAGES]
