"""What each model says of every cell: rows of `predict`, kept in OUT/cells and used again."""

import argparse
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from wbc import counts, model, reference
from wbc.adjusted_counts import Counts
from wbc.cells import CLASSES
from wbc.commands import predicting
from wbc.digests import digest_of
from wbc.disk import write_whole
from wbc.metrics import decided_probability
from wbc.predicting import command, version_code
from wbc.slides import leukocytes
from wbc.slides.pictures import Pictures, prefix_of

log = logging.getLogger(__name__)

CELLS: Final = "cells"  # folder in OUT
_FLAGS: Final = ("uncertain", "unlocated", "unreadable")


@dataclass(frozen=True)
class Judged:
    """What a model says.

    rows: as `predict` writes them, `path` relative to DIR, index `path`; of fields by cell, with
    `field`. validation: counts of errors (K, K) of the validation cells that the model was sure of,
    None where unknown.
    """

    name: str
    sha256: str
    card: model.Card
    rows: pd.DataFrame
    validation: Counts | None


def judged(
    model_dir: Path,
    validation: pd.DataFrame | None,
    cells: Pictures,
    out: Path,
    options: argparse.Namespace,
    leads: bool = True,
) -> Judged:
    """Rows of all cells by one model: those of an earlier run where nothing has changed.

    leads: of fields, its cells' pictures are kept in OUT.

    Raises:
        UserError: as `predict`.
    """
    card, sha256 = model.read_card(model_dir), model.model_sha256(model_dir)
    name = f"{card['architecture']}-{sha256[:8]}"
    lines = out / CELLS / f"{name}.jsonl"
    known = lines.with_suffix(".json")
    same = {
        "model": sha256,
        "files": cells.digest,
        "uncertain_below": options.uncertain_below,
        "code": version_code.code_sha256(),
        "reference": digest_of(model_dir / reference.REFERENCE_FILE),
    }
    keeps = options.fields and leads
    if keeps:
        same["leukocytes"] = "kept"
    unchanged = _is_whole(lines, known, same)
    if unchanged and keeps:
        unchanged = leukocytes.are_kept(out, same, _rows(lines, prefix_of(cells.folder), True))
    if options.restart or not unchanged:
        lines.parent.mkdir(parents=True, exist_ok=True)
        known.unlink(missing_ok=True)
        lines.unlink(missing_ok=True)
        begun = lines.with_suffix(".begun.json")
        anew = options.restart or _read(begun) != same  # what a stop left is of other pictures
        anew = anew or (keeps and not leukocytes.are_begun(out, same))
        write_whole(begun, json.dumps(same).encode())
        given = _options(model_dir, cells.folder, lines, options, anew)
        if keeps:
            given.keeping = leukocytes.begin(out, cells.folder, same, anew)
        command.run(given)
        if keeps:
            leukocytes.finish(out)
        write_whole(known, json.dumps(_record(same, lines)).encode())
        begun.unlink()
    else:
        log.info("%s: its answers of the run before are used; no picture has changed.", name)
    rows = _rows(lines, prefix_of(cells.folder), options.fields)
    errors = None if validation is None else _errors(validation, options.uncertain_below)
    return Judged(name, sha256, card, rows, errors)


def _is_whole(lines: Path, known: Path, same: Mapping[str, Any]) -> bool:
    """Whether the rows are those of a run with the same, to the byte; a warning where they were."""
    found = _read(known)
    if not lines.is_file() or {key: found.get(key) for key in same} != same:
        return False
    whole = found == _record(same, lines)
    if not whole and "rows" in found:  # else of older code
        log.warning("%s is not as it was written, so all cells are judged again.", lines)
    return whole


def _record(same: Mapping[str, Any], lines: Path) -> dict[str, Any]:
    """Of rows that are finished; a part of them would be counted as if it were all."""
    return {**same, "rows": digest_of(lines)}


def _errors(validation: pd.DataFrame, uncertain_below: float) -> Counts | None:
    """Of the validation cells that the model would not have abstained from."""
    if not {"label", "predicted", *(f"p_{name}" for name in CLASSES)} <= set(validation.columns):
        return None
    sure = np.array(decided_probability(validation), np.float64) >= uncertain_below
    return counts.errors(validation[sure]) if sure.any() else None


def _rows(lines: Path, prefix: str, fields: bool) -> pd.DataFrame:
    with lines.open(encoding="utf-8") as file:
        rows = pd.DataFrame([json.loads(line) for line in file])
    rows["path"] = [str(path).removeprefix(prefix) for path in rows["path"]]
    rows[list(_FLAGS)] = rows[list(_FLAGS)].astype(bool)
    rows = leukocytes.of_cells(rows) if fields else rows
    return rows.set_index("path", drop=False).rename_axis(None)


def _options(
    model_dir: Path, folder: Path, lines: Path, options: argparse.Namespace, anew: bool
) -> argparse.Namespace:
    """Through the parser of `predict`, so that whatever it has got since has its default."""
    parser = argparse.ArgumentParser()
    predicting.add(parser.add_subparsers())
    given: list[str] = ["predict", "--model", str(model_dir), "--out", str(lines)]
    given += ["--uncertain-below", str(options.uncertain_below), "--device", options.device]
    given += ["--fields"] * options.fields + ["--restart"] * anew
    return parser.parse_args([*given, "--", str(folder)])


def _read(path: Path) -> dict[str, object]:
    try:
        content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
