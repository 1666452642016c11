"""Whether a version can be loaded and answers as it did: in a clean process, on encoded images.

MLflow registers a model that cannot load with only a warning, and files can be lost or damaged
later. So before a version is used for anything, it is loaded and asked.
"""

import contextlib
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wbc.cells import CLASSES
from wbc.errors import one_line
from wbc.tracking import store as tracking_store
from wbc.tracking.store import MODEL, Store

SECONDS: Final = 300.0  # for download, loading and answers, before the version counts as unreadable
CELLS_PER_CLASS: Final = 2
TOLERANCE: Final = 1e-4  # of a probability, against predictions.csv, which has 6 decimals
GPU_TOLERANCE: Final = 0.01  # where the recorded answers may be a GPU's, whose products are rounded
_SCRIPT: Final = Path(__file__).with_name("clean_process.py")
_DRAWN_SIZE: Final = 128  # pixels


class Unreadable(Exception):  # noqa: N818
    """Why a version cannot be used; one clause without a stop."""


@dataclass(frozen=True)
class Cell:
    """An encoded image, and the row of predictions.csv that the version must repeat, if any."""

    image: bytes
    recorded: dict[str, Any] | None


def check(store: Store, version: Any, cells: Sequence[Cell]) -> str:
    """Load the version and let it answer; a clause that says what was tried.

    Raises:
        Unreadable: it cannot be loaded, is not what was registered, or answers otherwise.
    """
    answers = _ask(store, version, cells)
    registered = version.tags.get("model_sha256", "")
    if answers.get("sha256", registered) != registered:
        raise Unreadable(
            f"its files have the SHA-256 {answers['sha256'][:8]} instead of {registered[:8]}, as"
            " registered: they were damaged or changed"
        )
    if "error" in answers:
        raise Unreadable(f"it cannot be loaded ({answers['error']})")
    _check_answers(answers["rows"])
    known = [cell.recorded for cell in cells]
    if None in known or answers["crop"] == "mask":  # with masks the pipeline saw other pictures
        return f"it was loaded and answered on {len(cells)} images"
    _compare(answers["rows"], known, _tolerance(store, version))
    return f"it was loaded and repeated {len(cells)} recorded answers"


def check_files(store: Store, version: Any) -> None:
    """Whether the two files of the model are still what was registered, without loading them.

    Raises:
        Unreadable: they are not.
    """
    import mlflow.artifacts

    from wbc.model import model_sha256

    with tempfile.TemporaryDirectory() as scratch:
        try:
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{_address(version)}/artifacts", dst_path=scratch
            )
            digest = model_sha256(Path(found))
        except Exception as error:
            if _is_away(store):
                raise
            raise Unreadable(f"its files cannot be read ({one_line(error, 160)})") from None
    if digest != version.tags.get("model_sha256"):
        raise Unreadable("its files are no longer those that were registered")


def some_cells(predictions: pd.DataFrame | None, raw_dir: Path) -> list[Cell]:
    """Cells to ask a version on: of its own evaluation if data/raw still has them, else drawn.

    Of each class the first ones by SHA-256, so the same cells are taken every time.
    """
    found: list[Cell] = []
    if predictions is not None:
        for _, rows in predictions.sort_values("sha256").groupby("label", sort=True):
            found += _of_class(rows.head(20), raw_dir)
    return found or drawn_cells()


def drawn_cells() -> list[Cell]:
    """One drawn cell of each class."""
    from wbc.sources import sample, smears

    plan = smears.plan(200)
    first = [next(cell for cell in plan if cell.label == name) for name in CLASSES]
    return [Cell(sample.draw_cell(cell, _DRAWN_SIZE), None) for cell in first]


def _of_class(rows: pd.DataFrame, raw_dir: Path) -> list[Cell]:
    cells: list[Cell] = []
    for row in rows.to_dict("records"):
        with contextlib.suppress(OSError):
            image = (raw_dir / row["path"]).read_bytes()
            if hashlib.sha256(image).hexdigest() == row["sha256"]:
                cells.append(Cell(image, row))
        if len(cells) == CELLS_PER_CLASS:
            break
    return cells


def _ask(store: Store, version: Any, cells: Sequence[Cell]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="wbc-version-") as scratch:
        folder = Path(scratch)
        images = [folder / f"image-{number}" for number in range(len(cells))]
        for path, cell in zip(images, cells, strict=True):
            path.write_bytes(cell.image)
        job = {
            "uri": store.client.tracking_uri,
            "model": _address(version),
            "sha256": version.tags.get("model_sha256", ""),
            "images": [str(path) for path in images],
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        _run(folder)
        answers: dict[str, Any] = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        return answers


def _run(folder: Path) -> None:
    """-P and no PYTHONPATH: `import wbc` must not find this repository."""
    tracking_store.prepare_environment()
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", str(_SCRIPT), str(folder)]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unreadable(f"it did not load and answer within {SECONDS:.0f} seconds") from None
    except OSError as error:
        raise Unreadable(f"no process could be started to load it ({one_line(error)})") from None
    if not (folder / "answers.json").is_file():
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise Unreadable(f"the process that loaded it died ({last[0][:160]})")


def _check_answers(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        shares = [float(row[f"p_{name}"]) for name in CLASSES]
        whole = all(map(math.isfinite, shares)) and abs(sum(shares) - 1) < 1e-3
        if row["error"] or row["class"] not in CLASSES or not whole:
            raise Unreadable(f"it gives no sound answer ({row['error'] or row['class']}: {shares})")


def _tolerance(store: Store, version: Any) -> float:
    """The run says what it was trained and evaluated on; one that was published later does not."""
    device = store.client.get_run(version.run_id).data.tags.get("device", "")
    return TOLERANCE if device.startswith("CPU") else GPU_TOLERANCE


def _compare(rows: Sequence[dict[str, Any]], recorded: Sequence[Any], tolerance: float) -> None:
    for row, known in zip(rows, recorded, strict=True):
        names = [f"p_{name}" for name in CLASSES]
        apart = max(abs(float(row[name]) - float(known[name])) for name in names)
        other = row["class"] != known["predicted"] and tolerance == TOLERANCE
        if other or apart > tolerance:
            raise Unreadable(
                f"it no longer answers as recorded: {known['path']} was {known['predicted']}, now"
                f" it is {row['class']}, and probabilities are up to {apart:.2g} apart"
            )


def _address(version: Any) -> str:
    return f"models:/{MODEL}/{version.version}"


def _is_away(store: Store) -> bool:
    """Whether the registry itself fails, which says nothing about a model's files."""
    try:
        store.client.get_registered_model(MODEL)
    except Exception:
        return True
    return False
