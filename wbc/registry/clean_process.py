"""Load a version in a process of its own and let it answer; run by its path, never imported.

So nothing of the workspace is there: what answers is the version with its own code, as it would
on another machine. Reads FOLDER/job.json {uri, model, sha256, images}; writes FOLDER/answers.json
{sha256, crop, rows}, or {sha256, error} where it fails, or {sha256} of files that are not `sha256`.
"""

import hashlib
import json
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    answers: dict[str, Any] = {}
    try:
        found = download(job, folder / "model")
        answers["sha256"] = sha256(found / "artifacts")
        if answers["sha256"] == job["sha256"]:
            answers |= asked(found, job["images"])
    except Exception as error:
        traceback.print_exc()
        answers["error"] = " ".join(str(error).split())[:300] or type(error).__name__
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


def asked(found: Path, images: list[str]) -> dict[str, Any]:
    card = json.loads((found / "artifacts" / "model.json").read_text(encoding="utf-8"))
    rows = predict(found, [Path(image).read_bytes() for image in images])
    return {"crop": card["input"]["crop"], "rows": rows}


def download(job: dict[str, Any], target: Path) -> Path:
    import mlflow.artifacts

    logging.getLogger("alembic").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(job["uri"])
    mlflow.set_registry_uri(job["uri"])
    target.mkdir()
    found = mlflow.artifacts.download_artifacts(artifact_uri=job["model"], dst_path=str(target))
    return Path(found)


def sha256(folder: Path) -> str:
    """As wbc.model.model_sha256, which is not at hand here."""
    digest = hashlib.sha256()
    for name in ("model.safetensors", "model.json"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def predict(model: Path, images: list[bytes]) -> list[dict[str, Any]]:
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"  # a version is code and safetensors
    import mlflow.pyfunc
    import pandas as pd

    warnings.simplefilter("ignore")
    answers = mlflow.pyfunc.load_model(str(model)).predict(pd.DataFrame({"image": images}))
    rows: list[dict[str, Any]] = answers.to_dict("records")
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]))
