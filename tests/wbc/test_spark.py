"""benchmarks.spark: a folder scored by two workers of Spark, with the answers of `predict`."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mlflow_home import ARCHITECTURE, write_model
from tests.wbc import pictures

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    shutil.which("java") is None or importlib.util.find_spec("pyspark") is None,
    reason="needs Java and pip install -r requirements-spark.txt",
)


def test_spark_says_what_predict_says(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "cells").mkdir()
    for number in range(6):
        picture = pictures.encoded(pictures.cell(120, 120, 50 + number, 60))
        (tmp_path / "cells" / f"{number}.png").write_bytes(picture)
    (tmp_path / "cells" / "broken.png").write_bytes(b"no picture")
    command = [sys.executable, "-m", "benchmarks.spark", str(tmp_path / "cells"), "--model",
               str(tmp_path / "models" / ARCHITECTURE)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 workers: 7 files" in done.stdout and "0 classes differ" in done.stdout
