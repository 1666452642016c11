"""wbc.registry.clean_process: its functions in this process; by its path, as it is run, in
test_loading.py."""

import json
import logging
from pathlib import Path
from typing import Any

import mlflow
import mlflow.artifacts
import mlflow.pyfunc
import pandas as pd
import pytest

from wbc.model import model_sha256
from wbc.registry import clean_process

URI = "sqlite:///somewhere.db"


class Version:
    """A version's files, and what its pyfunc answers."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.asked = folder, []
        self.loaded: list[str] = []
        self.error: Exception | None = None
        artifacts = folder / "kept" / "artifacts"
        artifacts.mkdir(parents=True)
        (artifacts / "model.safetensors").write_bytes(b"weights")
        (artifacts / "model.json").write_text('{"input": {"crop": "µ"}}', encoding="utf-8")
        self.sha256 = model_sha256(artifacts)
        monkeypatch.setattr(mlflow.artifacts, "download_artifacts", self.download)
        monkeypatch.setattr(mlflow.pyfunc, "load_model", self.load)
        self.addresses: list[tuple[str, str]] = []
        for kind in ("tracking", "registry"):
            monkeypatch.setattr(
                mlflow, f"set_{kind}_uri", lambda uri, kind=kind: self.addresses.append((kind, uri))
            )

    def download(self, artifact_uri: str, dst_path: str) -> str:
        assert artifact_uri == "models:/wbc-classifier/3" and Path(dst_path).is_dir()
        assert Path(dst_path) == self.folder / "model"
        return str(self.folder / "kept")

    def load(self, path: str) -> Any:
        self.loaded.append(path)
        if self.error:
            raise self.error
        return self

    def predict(self, images: pd.DataFrame) -> pd.DataFrame:
        self.asked = list(images["image"])
        return pd.DataFrame({"class": ["monocyte"] * len(images), "p": [0.5] * len(images)})

    def answers(self, **changes: Any) -> dict[str, Any]:
        images = []
        for number in range(2):
            images.append(self.folder / f"image-{number}")
            images[-1].write_bytes(bytes([number]))
        job = {"uri": URI, "model": "models:/wbc-classifier/3", "sha256": self.sha256,
               "images": [str(path) for path in images]}  # fmt: skip
        (self.folder / "job.json").write_text(json.dumps(job | changes), encoding="utf-8")
        clean_process.main(self.folder)
        found: dict[str, Any] = json.loads((self.folder / "answers.json").read_text("utf-8"))
        return found


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    return Version(tmp_path, monkeypatch)


def test_a_whole_version_is_asked_on_the_images(version: Version) -> None:
    assert version.answers() == {
        "sha256": version.sha256, "crop": "µ", "rows": [{"class": "monocyte", "p": 0.5}] * 2,
    }  # fmt: skip
    assert version.asked == [b"\0", b"\1"]
    assert version.loaded == [str(version.folder / "kept")]
    assert version.addresses == [("tracking", URI), ("registry", URI)]
    assert logging.getLogger("alembic").level == logging.WARNING


def test_other_files_are_never_loaded(version: Version) -> None:
    assert version.answers(sha256="ab") == {"sha256": version.sha256}
    assert version.loaded == []


def test_what_fails_is_one_line(version: Version, capfd: pytest.CaptureFixture[str]) -> None:
    version.error = ValueError("no\n such   key")
    assert version.answers() == {"sha256": version.sha256, "error": "no such key"}
    assert "Traceback" in capfd.readouterr().err
    (version.folder / "model").rmdir()
    version.error = ValueError("x" * 400)
    assert version.answers()["error"] == "x" * 300
    (version.folder / "model").rmdir()
    version.error = RuntimeError()
    assert version.answers()["error"] == "RuntimeError"


def test_lost_files_are_an_error_without_a_hash(version: Version) -> None:
    (version.folder / "kept" / "artifacts" / "model.json").unlink()
    answers = version.answers()
    assert answers.keys() == {"error"} and "model.json" in answers["error"]
