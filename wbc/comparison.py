"""One table of all trained models, ranked by validation macro-F1 among equals only.

Networks that started from ImageNet, from a file and from random weights are never ranked together,
nor with the classical baseline, which has no weights to start from; and nothing is chosen on a
test set: the columns of the tests are for reading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wbc.cost import Size, size_of
from wbc.errors import UserError
from wbc.metrics import value
from wbc.written import read_json, read_scores

Json = Mapping[str, Any]

STARTS: Final = {  # in the order of the groups in the table
    "imagenet": "from ImageNet weights",
    "file": "from a file of weights",
    "random": "from random weights",
    "none": "from hand-made features",
}
SCORES: Final = ("balanced_accuracy", "macro_f1", "accuracy")
FIXED_COLUMNS: Final = (
    "rank",
    "architecture",
    "start",
    "num_parameters",
    "multiply_adds",
    "num_bytes",
    "best_epoch",
    "val/macro_f1",
)


@dataclass(frozen=True)
class Model:
    """What is known of a trained model: model.json, metrics.json, seeds.json ({} for none)."""

    card: Json
    metrics: Json
    seeds: Json
    size: Size

    @property
    def name(self) -> str:
        return str(self.card["architecture"])


def read(repository: Path, architecture: str) -> Model:
    """What train and evaluate left of a model in models/ and reports/.

    Raises:
        UserError: they have not run, or a file of theirs is damaged.
    """
    folder = repository / "models" / architecture
    report_dir = repository / "reports" / architecture
    card = read_json(folder / "model.json", ("architecture", "input", "start", "best", "inputs"))
    scores, seeds_path = read_scores(report_dir / "metrics.json"), report_dir / "seeds.json"
    seeds = read_scores(seeds_path) if seeds_path.is_file() else {}
    return Model(card, scores, seeds, size_of(folder, card))


def compare(models: Sequence[Model]) -> pd.DataFrame:
    """One row a model, best first within each start.

    Columns: FIXED_COLUMNS, then of val and of every other set, in the order of the first model that
    has it, `<set>/balanced_accuracy`, `<set>/macro_f1`, `<set>/accuracy`, each with `/low` and
    `/high` (95 %) and, where several seeds were trained, `/seeds_mean` and `/seeds_sd`. None is
    what a model does not have. `rank` counts from 1 within equal `start`; equal validation macro-F1
    shares a rank (1, 1, 3) and is ordered by architecture.

    Raises:
        UserError: no models, one without a validation score, or models trained and validated on
            different pixel stores, whose scores cannot be ranked.
    """
    if not models:
        raise UserError("Nothing to compare: name networks in architectures and run `dvc repro`.")
    for model in models:
        _check(model)
    _check_same_pixels(models)
    sets = list(dict.fromkeys(name for model in models for name in model.metrics))
    sets.sort(key=lambda name: name != "val")  # stable: val first, the rest as they came
    seeded = any(_num_seeds(model) > 1 for model in models)
    rows = [_row(model, sets, seeded) for model in models]
    order = list(STARTS)
    rows.sort(
        key=lambda row: (order.index(row["start"]), -row["val/macro_f1"], row["architecture"])
    )
    for row in rows:
        better = [
            other
            for other in rows
            if other["start"] == row["start"] and other["val/macro_f1"] > row["val/macro_f1"]
        ]
        row["rank"] = len(better) + 1
    return pd.DataFrame(rows, dtype=object)


def winners(table: pd.DataFrame) -> dict[str, str]:
    """{start: architecture} of the first row of each start in `compare`'s table.

    A tie goes to the smaller network, then to the first by name, so that it is decided by no test.
    """
    best = table[table["rank"] == 1].copy()
    best["num_parameters"] = best["num_parameters"].astype(int)
    best = best.sort_values(["num_parameters", "architecture"], kind="stable")
    return {
        start: str(best[best["start"] == start]["architecture"].iloc[0])
        for start in dict.fromkeys(table["start"])
    }


def sets_of(table: pd.DataFrame) -> list[str]:
    """The evaluation sets of `compare`'s table, in its order."""
    ending = f"/{SCORES[0]}"
    return [str(name).removesuffix(ending) for name in table if str(name).endswith(ending)]


def _row(model: Model, sets: Sequence[str], seeded: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "rank": 0,
        "architecture": model.name,
        "start": model.card["start"],
        "num_parameters": model.size.num_parameters,
        "multiply_adds": model.size.multiply_adds,
        "num_bytes": model.size.num_bytes,
        "best_epoch": None if model.size.multiply_adds is None else model.card["best"]["epoch"],
        "val/macro_f1": value(model.metrics["val"]["macro_f1"]),
    }
    for name in sets:
        for score in SCORES:
            found = model.metrics.get(name, {}).get(score)
            limits = found if isinstance(found, Mapping) else {}
            row.setdefault(f"{name}/{score}", None if found is None else value(found))
            row[f"{name}/{score}/low"] = limits.get("low")
            row[f"{name}/{score}/high"] = limits.get("high")
            if seeded:
                spread = model.seeds.get(name, {}).get(score, {}) if _num_seeds(model) > 1 else {}
                row[f"{name}/{score}/seeds_mean"] = spread.get("mean")
                row[f"{name}/{score}/seeds_sd"] = spread.get("sd")
    return row


def _num_seeds(model: Model) -> int:
    return len(model.seeds.get("val", {}).get("macro_f1", {}).get("values", ()))


def _check(model: Model) -> None:
    if "macro_f1" not in model.metrics.get("val", {}):
        raise UserError(
            f"{model.name} has no validation macro-F1 in its metrics.json, so it cannot"
            f" be ranked; run `dvc repro -f evaluate@{model.name}`."
        )


def _check_same_pixels(models: Sequence[Model]) -> None:
    hashes = {model.name: str(model.card["inputs"]["pixels"]) for model in models}
    if len(set(hashes.values())) > 1:
        found = ", ".join(f"{name} {digest[:8]}" for name, digest in hashes.items())
        raise UserError(
            "All networks should be trained and validated on the same pixel store, but the hashes"
            f" of theirs differ ({found}); run `dvc repro` to train the older ones again."
        )
