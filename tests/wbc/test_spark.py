"""benchmarks.spark: a folder scored by two workers of Spark, with the answers of `predict`."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.spark import compare, picture_names
from tests.mlflow_home import ARCHITECTURE, write_model, write_reference
from tests.wbc import pictures
from wbc.predicting.inputs import Inputs

ROOT = Path(__file__).parents[2]

SAID = {"class": "monocyte", "p_monocyte": 0.9, "out_of_domain": False}
PREDICTED = {"/a/1.png": SAID | {"unlocated": False}}


@pytest.mark.parametrize(
    "answers, words",
    [
        ({}, "0 files in both, 1 in one alone"),
        ({"/a/1.png": {}, "/b/1.png": {}}, "1 in one alone"),  # of the same name
        ({"/a/1.png": {"class": "basophil"}}, "1 classes differ"),
        ({"/a/1.png": {"out_of_domain": True}}, "1 flags"),
        ({"/a/1.png": {"located": False}}, "1 flags"),
        ({"/a/1.png": {"p_monocyte": 0.8}}, "by at most 1.0e-01"),
    ],
)
def test_a_difference_is_seen(
    answers: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    same = SAID | {"located": True}
    assert compare({"/a/1.png": same}, PREDICTED)
    assert not compare({path: same | other for path, other in answers.items()}, PREDICTED)
    assert words in capsys.readouterr().out


def test_spark_takes_what_predict_takes(tmp_path: Path) -> None:
    for name in ("a.jpg", "B.JPG", "c.Tiff", "d.txt", "e.jpg.txt"):
        (tmp_path / name).write_bytes(b"x")
    wanted = {found.path.name for found in Inputs([str(tmp_path)], ()) if found.path}
    braces = picture_names().replace(".", r"\.").replace("*", ".*").replace(",", "|")
    pattern = braces.replace("{", "(").replace("}", ")")
    matched = {path.name for path in tmp_path.iterdir() if re.fullmatch(pattern, path.name)}
    assert matched == wanted == {"a.jpg", "B.JPG", "c.Tiff"}


@pytest.mark.skipif(
    shutil.which("java") is None or importlib.util.find_spec("pyspark") is None,
    reason="needs Java and pip install -r requirements-spark.txt",
)
def test_spark_says_what_predict_says(tmp_path: Path) -> None:
    write_reference(write_model(tmp_path)[0])
    for number in range(6):
        picture = pictures.encoded(pictures.cell(120, 120, 50 + number, 60))
        folder = tmp_path / "cells" / ("a", "b 100%25 é")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number // 2}{('.png', '.PNG')[number == 5]}").write_bytes(picture)
    (tmp_path / "cells" / "broken.png").write_bytes(b"no picture")
    command = [sys.executable, "-m", "benchmarks.spark", str(tmp_path / "cells"), "--model",
               str(tmp_path / "models" / ARCHITECTURE)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 workers: 7 files" in done.stdout and "0 classes differ, 0 flags" in done.stdout
