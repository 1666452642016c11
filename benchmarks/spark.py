"""A folder scored with Spark: mlflow.pyfunc.spark_udf over its files, beside `wbc predict`.

    pip install -r requirements-spark.txt        # and Java 17 or newer
    python -m benchmarks.spark FOLDER [--model models/googlenet] [--workers 2] [--out FOLDER]

Runs Spark in local mode with this many workers, prints the seconds of both, and ends with exit
status 1 where the two name other files, a class or a flag differs, or a probability does by more
than 1e-4. `score` is the example to copy for a cluster: only the address of the master and the
paths differ.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from wbc import cli
from wbc.predicting.inputs import Inputs
from wbc.predicting.rows import Row
from wbc.registry import packaging
from wbc.sources.incoming import IMAGE_SUFFIXES
from wbc.tracking.adapt import model_folder

TOLERANCE: Final = 1e-4  # of a probability: batches of other sizes have other last digits


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
        .option("pathGlobFilter", picture_names())
        .load(str(folder.resolve()))
        .repartition(partitions)
    )
    return files.select("path", answer("content").alias("answer")).select("path", "answer.*")


RESULT: Final = (
    "struct<class: string, p_neutrophil: double, p_lymphocyte: double, p_monocyte: double,"
    " p_eosinophil: double, p_basophil: double, located: boolean, out_of_domain: boolean,"
    " error: string>"
)


def picture_names() -> str:
    """The glob of what `predict` takes from a folder; Spark's globs tell .JPG from .jpg."""
    suffixes = sorted(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
    either = ("".join(f"[{c}{c.upper()}]" for c in suffix) for suffix in suffixes)
    return f"*.{{{','.join(either)}}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="models:/wbc-classifier@champion")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a new folder for the answers, as Parquet")
    options = parser.parse_args()
    if options.out and options.out.exists():
        parser.error(f"--out should name a new folder, but {options.out} is there")
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
        rows = {row["path"].removeprefix("file:"): row.asDict() for row in table.collect()}
        seconds = time.perf_counter() - start
        spark.stop()
        print(f"Spark, {options.workers} workers: {len(rows)} files, {seconds:.1f} s")
        predicted = predict(options.folder.resolve(), folder, Path(scratch) / "predicted.jsonl")
        sys.exit(0 if compare(rows, predicted) else 1)


def predict(folder: Path, model: Path, out: Path) -> dict[str, Row]:
    """The rows of `predict`, by the files' whole paths."""
    start = time.perf_counter()
    cli.main(["predict", str(folder), "--model", str(model), "--out", str(out)])
    seconds = time.perf_counter() - start
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    print(f"predict: {len(rows)} files, {seconds:.1f} s")
    return {
        str(found.path): row for found, row in zip(Inputs([str(folder)], ()), rows, strict=True)
    }


def compare(rows: dict[str, Row], predicted: dict[str, Row]) -> bool:
    """Whether both say the same of the same files; prints how far they are apart."""
    other, flags, apart = 0, 0, 0.0
    both = rows.keys() & predicted.keys()
    for path in both:
        row, answer = predicted[path], rows[path]
        other += (row["class"] or "unreadable") != answer["class"]
        flags += row["out_of_domain"] != answer["out_of_domain"]
        if row["class"]:
            flags += row["unlocated"] == answer["located"]
            names = [name for name in row if name.startswith("p_")]
            apart = max(apart, *(abs(row[name] - answer[name]) for name in names))
    alone = len(rows.keys() ^ predicted.keys())
    far = sum(bool(row["out_of_domain"]) for row in predicted.values())
    print(
        f"{len(both)} files in both, {alone} in one alone; {other} classes differ, {flags} flags"
        f" (out_of_domain, {far} times true, and located), probabilities by at most {apart:.1e}"
    )
    return not (other or flags or alone) and apart <= TOLERANCE


if __name__ == "__main__":
    main()
