"""Where the errors of a model's validation cells are found: beside it, or in its run."""

import shutil
from pathlib import Path

import pytest

from tests.mlflow_home import new_home, write_model
from wbc.model import model_sha256
from wbc.tracking import runs as tracking
from wbc.tracking import store as tracking_store
from wbc.tracking import validation


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path / "home", monkeypatch)


def test_a_report_counts_only_if_it_is_of_this_very_model(home: Path) -> None:
    model_dir, report_dir = write_model(home)
    sha256 = model_sha256(model_dir)
    assert validation.predictions(model_dir, sha256, home) is None  # a report of nobody knows whom
    (report_dir / "model_card.md").write_text(f"| Identity | SHA-256 `{sha256}` |")
    found = validation.predictions(model_dir, sha256, home)
    assert found is not None and list(found["label"]) == ["monocyte", "basophil"]
    assert validation.predictions(model_dir, "0" * 64, home) is None


def test_a_registered_version_finds_it_in_its_run(home: Path, tmp_path: Path) -> None:
    model_dir, report_dir = write_model(home)
    tracking.publish("squeezenet1_1", model_dir, report_dir)
    elsewhere = tmp_path / "artifacts"
    shutil.copytree(model_dir, elsewhere)
    shutil.rmtree(report_dir)
    found = validation.predictions(elsewhere, model_sha256(elsewhere), home)
    assert found is not None and set(found["set"]) == {"val"} and len(found) == 2


def test_without_mlflow_there_is_none_and_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model_dir, _ = write_model(home)

    def away(*_: object) -> None:
        raise OSError("no server")

    monkeypatch.setattr(tracking_store, "connect", away)
    assert validation.predictions(model_dir, "ab", home) is None
    assert "validation could not be read" in caplog.text
