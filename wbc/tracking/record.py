"""What a run says about a model: parameters, scores, tags and data, as plain values.

Everything here is computed from the outputs of train and evaluate, so that a run which was lost
can be written again; only `environment_tags` looks at the machine, and only while training runs.
"""

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from wbc.cells import refuse_cut
from wbc.lineage.state import Lineage

EPOCH_PREFIX = "epoch/"  # of the curves, so that `val/macro_f1` stays the score of the model kept
DATA_PATHS = ("data/raw", "data/split", "data/pixels")
# Whose limits a run shows; those of every recall would bury them.
INTERVALS = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "ece", "brier")
# Whose versions decide what is computed, or how it is read.
_LIBRARIES = [
    "torch",
    "torchvision",
    "lightning",
    "numpy",
    "scikit-learn",
    "scikit-image",
    "mlflow",
    "dvc",
]
_NOT_A_METRIC = ("epoch", "phase")
# Of each set, in metrics.json and the report and not in MLflow's list: a number for each class that
# only a curve explains, and what describes the cells and no model.
_LEFT_TO_THE_REPORT = ("auroc", "average_precision", "constant", "support", "num_groups")


def identity(model_dir: Path) -> str:
    """The model's SHA-256, `wbc.model.model_sha256`; imported late, because it brings torch."""
    from wbc.model import model_sha256

    return model_sha256(model_dir)


def parameter_texts(parameters: Mapping[str, object]) -> dict[str, str]:
    """Parameters as they are written in params.yaml: true, 0.01, 180, googlenet, ["a", "b"].

    Empty ones say nothing and are left out. 180.0 is written 180: dvc.lock has the one and
    model.json the other, and a comparison would show a difference that is none.
    """
    texts = {name: _text(value) for name, value in sorted(parameters.items())}
    return {name: text for name, text in texts.items() if text}


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def flat_scores(scores: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """{"val": {"recall": {"monocyte": 0.9}}} -> {"val/recall/monocyte": 0.9}; finite ones only.

    A score with an interval goes by its own name, and those in INTERVALS have their limits beside
    it: val/macro_f1, val/macro_f1/low, val/macro_f1/high. MLflow's run page cannot show a NaN, so
    a score that is not defined is left out.
    """
    flat: dict[str, float] = {}
    for name, score in scores.items():
        if isinstance(score, Mapping) and "value" in score:
            limits = ("low", "high") if name in INTERVALS else ()
            flat.update(flat_scores({name: score["value"]}, prefix))
            flat.update(flat_scores({limit: score[limit] for limit in limits}, f"{prefix}{name}/"))
        elif isinstance(score, Mapping):
            flat.update(flat_scores(score, f"{prefix}{name}/"))
        elif isinstance(score, int | float) and math.isfinite(score):
            flat[f"{prefix}{name}"] = float(score)
    return flat


def epoch_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """One line of history.csv, or what training reports of an epoch, as names of curves."""
    kept = {name: value for name, value in metrics.items() if name not in _NOT_A_METRIC}
    return flat_scores(kept, EPOCH_PREFIX)


def history(model_dir: Path) -> dict[int, dict[str, float]]:
    """Epoch -> its metrics, from history.csv; empty where the model has none."""
    path = model_dir / "history.csv"
    if not path.is_file():
        return {}
    refuse_cut(path)
    rows = pd.read_csv(path).to_dict("records")
    return {int(row["epoch"]): epoch_metrics(row) for row in rows}


def final_metrics(card: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, float]:
    """The scores of metrics.json that a list can carry, and what training chose, `best/epoch`."""
    best = {name: value for name, value in card.get("best", {}).items() if "/" not in name}
    scores = {name: _headlines(score) for name, score in report.items()}
    return {**flat_scores(scores), **flat_scores(best, "best/")}


def _headlines(scores: Any) -> Any:
    if not isinstance(scores, Mapping):
        return scores
    return {name: value for name, value in scores.items() if name not in _LEFT_TO_THE_REPORT}


def evaluation_sets(report_dir: Path) -> dict[str, tuple[str, int]]:
    """Evaluation set -> its name by content (wbc.pixels.evaluation_set_sha256) and its cells.

    Empty where predictions.csv does not name the cells.
    """
    path = report_dir / "predictions.csv"
    if not path.is_file():
        return {}
    from wbc.pixels import evaluation_set_sha256

    table = pd.read_csv(path, dtype=str)
    if not {"set", "sha256", "label"} <= set(table.columns):
        return {}
    return {
        str(name): (evaluation_set_sha256(rows), len(rows)) for name, rows in table.groupby("set")
    }


def model_tags(card: Mapping[str, Any], model_sha256: str, model_dir: Path) -> dict[str, str]:
    """What the model is; equal for every run and version of the same model."""
    weights = (model_dir / "model.safetensors").read_bytes()
    return {
        "model_sha256": model_sha256,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "data_sha256": str(card["inputs"]["pixels"]),
        "architecture": str(card["architecture"]),
        "seed": str(card["parameters"].get("seed", "")),
        "start": str(card["start"]),
        "start_note": str(card["start_note"]),
        "drawn": json.dumps(bool(card["drawn"])),
    }


def sentence(card: Mapping[str, Any], scores: Mapping[str, float]) -> str:
    """The model in a few words, with what must not be overlooked in capitals."""
    starts = {
        "imagenet": "fine-tuned from ImageNet weights",
        "file": "fine-tuned from a weights file",
        "random": "trained from random weights",
        "adapted": "adapted to another laboratory",
        "none": "trained on hand-made features",
    }
    words = f"{card['architecture']} {starts.get(card['start'], card['start'])}"
    if "val/macro_f1" in scores:
        words += f", validation macro-F1 {scores['val/macro_f1']:.3f}"
    if card["drawn"]:  # first, since lists cut a description after a few words
        words = f"TRAINED ON DRAWN CELLS, for trying the pipeline, never for blood: {words}"
    if card["start_note"]:
        words += f". FALLBACK: {str(card['start_note']).rstrip('.')}"
    return f"{words}. Not a medical device."


def description(card: Mapping[str, Any], scores: Mapping[str, float], experiment: str) -> str:
    """A run's description in Markdown: the sentence, DVC's experiment, where to look."""
    lines = [sentence(card, scores)]
    if experiment:
        lines.append(f"DVC experiment **{experiment}** (`dvc exp apply {experiment}`).")
    lines.append("All there is to know: Artifacts, `report/report.html`.")
    return "\n\n".join(lines)


def lineage_tags(lineage: Lineage) -> dict[str, str]:
    """The commit and DVC's names for the run, without what is not there."""
    tags = {
        "git.commit": lineage.commit,
        "mlflow.source.git.commit": lineage.commit,
        "git.dirty": json.dumps(lineage.dirty) if lineage.commit else "",
        "git.patch": lineage.patch_note,
        "dvc.experiment": lineage.experiment,
        "dvc.baseline": lineage.baseline,
    }
    return {name: value for name, value in tags.items() if value}


def environment_tags() -> dict[str, str]:
    """Processor and versions of this process; nothing that names the host or the user."""
    import torch

    tags = {f"version.{name}": _version(name) for name in _LIBRARIES}
    tags["version.python"] = platform.python_version()
    tags["version.rocm"] = torch.version.hip or ""
    tags["version.cuda"] = torch.version.cuda or ""
    tags["processor"] = _processor()
    return {name: value for name, value in tags.items() if value}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
