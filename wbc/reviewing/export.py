"""A person's answers as a folder that `data.sources` takes: pictures, and a CSV that labels them.

Pictures are named by their SHA-256, so answers from several slides and several runs gather in one
folder, and the same picture is in it once.
"""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from wbc.cells import CLASSES
from wbc.disk import write_whole
from wbc.errors import UserError, one_line
from wbc.reviewing import journal
from wbc.reviewing.journal import Entry
from wbc.reviewing.queue import Run
from wbc.slides.pictures import pictures
from wbc.spreadsheets import safe_text

log = logging.getLogger(__name__)

TABLE: Final = "labels.csv"
_COLUMNS: Final = ("path", "label", "group", "answer", "model", "reviewer", "time", "from")


def export(out: Path, run: Run, target: Path) -> Iterator[str]:
    """Add the answers of OUT to the folder `target`, and say how to use it.

    The rows that an earlier export of the same OUT left are replaced, so what was taken back since
    is not in it any more. Each picture is written before the table that names it.

    Raises:
        UserError: no answer to give, the folder is of something else, no room.
    """
    named = {c: e for c, e in journal.labels(journal.read(out)).items() if e.label in CLASSES}
    if not named:
        raise UserError(
            f"Nobody has named a cell of {out} yet; `python -m wbc review {out}` asks for answers."
        )
    known = _known(target)
    origin = _identity(out)
    try:
        rows = _copied(named, pictures(Path(run.folder)).files, target, origin)
        table = _merged(known[known["from"] != origin], pd.DataFrame(rows, columns=list(_COLUMNS)))
        if table.empty:
            raise UserError(
                f"None of the {len(named)} pictures that were answered is in {run.folder} as it"
                " was; bring them back."
            )
        write_whole(target / TABLE, table.to_csv(index=False).encode())
    except OSError as error:
        raise UserError(
            f"{error.filename or target} cannot be written ({one_line(error, 120)}); mend that and"
            " run the same command again."
        ) from None
    yield f"{len(rows)} answered cells of {out} are in {target}, {len(table)} in all."
    yield f"Version them: dvc add {target} && git add {target}.dvc"
    yield (
        "List them in params.yaml under data.sources: {kind: folder, name: reviewed, role: train,"
        f" path: {target}, table: {TABLE}}}; then dvc repro learns from them."
    )


def _copied(
    named: dict[str, Entry], files: dict[str, Path], target: Path, origin: str
) -> list[list[str]]:
    rows, num_gone = [], 0
    (target / "pictures").mkdir(parents=True, exist_ok=True)
    for cell, entry in named.items():
        data = files[cell].read_bytes() if cell in files and files[cell].is_file() else b""
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            num_gone += 1
            continue
        name = f"pictures/{entry.sha256[:32]}{files[cell].suffix.lower()}"
        if not (target / name).is_file():
            write_whole(target / name, data)
        group = safe_text(entry.slide)
        rows.append([name, entry.label, group, entry.answer, entry.model,
                     safe_text(entry.reviewer), entry.time, origin])  # fmt: skip
    if num_gone:
        log.warning("%d answers are left out: their pictures have gone or have changed.", num_gone)
    return rows


def _identity(out: Path) -> str:
    """Of a journal, which only grows, whatever its folder is called: by its first line."""
    with (out / journal.FILE).open("rb") as file:
        return hashlib.sha256(file.readline()).hexdigest()[:16]


def _merged(others: pd.DataFrame, mine: pd.DataFrame) -> pd.DataFrame:
    """One row a picture, the newest answer; a warning where two disagree."""
    both = pd.concat([others, mine]).sort_values(["path", "time"], kind="stable")
    num_disputed = int((both.groupby("path")["label"].nunique() > 1).sum())
    if num_disputed:
        log.warning(
            "%d pictures have been answered in two ways; the newer one counts.", num_disputed
        )
    return both.drop_duplicates("path", keep="last")


def _known(target: Path) -> pd.DataFrame:
    """labels.csv of an earlier export; raises UserError where the folder is of something else."""
    path = target / TABLE
    if not path.exists():
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            left = {entry.name for entry in target.iterdir()} if target.is_dir() else {""}
            if left != {"pictures"}:  # of an export that was killed
                raise UserError(
                    f"{target} holds something else than reviewed cells; name a folder of its own."
                )
        return pd.DataFrame(columns=list(_COLUMNS))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != list(_COLUMNS):
        raise UserError(f"{path} was not written by an export; name another folder.")
    return table
