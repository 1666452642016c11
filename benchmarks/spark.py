"""A folder scored with Spark: mlflow.pyfunc.spark_udf over its files, beside `wbc predict`.

    pip install -r requirements-spark.txt        # and Java 17 or newer
    python -m benchmarks.spark FOLDER [--model models/googlenet] [--workers 2] [--out FOLDER]

Runs Spark in local mode with this many workers, prints the seconds of both, and ends with exit
status 1 where a class differs or a probability by more than 1e-4. `score` is the example to copy
for a cluster: only the address of the master and the paths differ.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from wbc import cli
from wbc.registry import packaging
from wbc.tracking.adapt import model_folder

TOLERANCE = 1e-4  # of a probability: batches of other sizes have other last digits


def session(workers: int) -> Any:
    """Spark on this machine; on a cluster the master is another."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return (
        SparkSession.builder.master(f"local[{workers}]")
        .appName("wbc")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        # rows of a batch that goes to the model: pictures are large, and Spark's own 10,000 are not
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "64")
        .getOrCreate()
    )


def score(spark: Any, version: str, folder: Path, partitions: int) -> Any:
    """A table with a row for each file: `path` and the columns of the version's answer.

    version: `models:/wbc-classifier@champion` or the folder of a version.
    """
    import mlflow.pyfunc

    answer = mlflow.pyfunc.spark_udf(spark, version, result_type=RESULT, env_manager="local")
    files = (
        spark.read.format("binaryFile")
        .option("recursiveFileLookup", "true")
        .option("pathGlobFilter", "*.{jpg,jpeg,png,tif,tiff,bmp,webp}")
        .load(str(folder.resolve()))
        .repartition(partitions)
    )
    return files.select("path", answer("content").alias("answer")).select("path", "answer.*")


RESULT = (
    "struct<class: string, p_neutrophil: double, p_lymphocyte: double, p_monocyte: double,"
    " p_eosinophil: double, p_basophil: double, located: boolean, out_of_domain: boolean,"
    " error: string>"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="models:/wbc-classifier@champion")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a new folder for the answers, as Parquet")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch, model_folder(options.model, Path.cwd()) as folder:
        version = folder.parent
        if not (version / "MLmodel").is_file():
            version = Path(scratch) / "version"
            packaging.package(folder, version)
        spark = session(options.workers)
        start = time.perf_counter()
        table = score(spark, str(version), options.folder, 4 * options.workers)
        if options.out:
            table.write.parquet(str(options.out.resolve()))
            table = spark.read.parquet(str(options.out.resolve()))
        rows = {Path(row["path"]).name: row.asDict() for row in table.collect()}
        seconds = time.perf_counter() - start
        spark.stop()
        print(f"Spark, {options.workers} workers: {len(rows)} files, {seconds:.1f} s")
        sys.exit(0 if compare(rows, options.folder, folder, Path(scratch)) else 1)


def compare(rows: dict[str, Any], folder: Path, model: Path, scratch: Path) -> bool:
    """Whether `predict` says the same, by the files' names."""
    out = scratch / "predicted.jsonl"
    start = time.perf_counter()
    cli.main(["predict", str(folder), "--model", str(model), "--out", str(out)])
    seconds = time.perf_counter() - start
    predicted = [json.loads(line) for line in out.read_text().splitlines()]
    print(f"predict: {len(predicted)} files, {seconds:.1f} s")
    other, apart = 0, 0.0
    for row in predicted:
        answer = rows.get(Path(row["path"]).name, {"class": "missing"})
        other += (row["class"] or "unreadable") != answer["class"]
        if row["class"] and "p_monocyte" in answer:
            names = [name for name in row if name.startswith("p_")]
            apart = max(apart, *(abs(row[name] - answer[name]) for name in names))
    print(f"{other} classes differ, probabilities by at most {apart:.1e}")
    return other == 0 and len(predicted) == len(rows) and apart <= TOLERANCE


if __name__ == "__main__":
    main()
