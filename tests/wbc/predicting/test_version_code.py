"""wbc.predicting.version_code: a version's own copy of the code against the one here."""

from pathlib import Path

import wbc
from tests.mlflow_home import write_model
from tests.test_dvc_yaml import imports_of
from wbc.predicting.version_code import ANSWERING, changed
from wbc.registry import packaging


def test_a_changed_module_is_named(tmp_path: Path) -> None:
    model_dir, _ = write_model(tmp_path)
    packaging.package(model_dir, tmp_path / "version")
    artifacts = tmp_path / "version" / "artifacts"
    assert changed(model_dir) == [] and changed(artifacts) == []
    path = tmp_path / "version" / "code" / "wbc" / "staining.py"
    path.write_text(path.read_text() + "# older\n")
    assert changed(artifacts) == ["staining"]


def test_the_list_is_all_that_decides_an_answer() -> None:
    queue, seen = [Path(f"wbc/{name}.py") for name in ("imaging", "model", "reference")], set()
    while queue:
        path = queue.pop()
        # the classical baseline has modules of its own, imported late
        if path not in seen and path.parent == Path("wbc") and path.stem != "classical":
            seen.add(path)
            queue.extend(imports_of(path))
    assert {path.stem for path in seen} - {"__init__"} == set(ANSWERING)
    assert all((Path(wbc.__file__).parent / f"{name}.py").is_file() for name in ANSWERING)
