"""A person's answers as a folder that `data.sources` takes: pictures, and a CSV that labels them.

Pictures are named by their SHA-256, so answers from several slides and several runs gather in one
folder, and the same picture is in it once.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from wbc.cells import CLASSES
from wbc.digests import bytes_of, digest_of, sha256_of
from wbc.disk import write_whole
from wbc.errors import UserError, one_line
from wbc.reviewing import answered, journal
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
    given = journal.by_picture(journal.read(out)).values()
    named = [entry for entry in given if entry.label in CLASSES]
    known, origin = _known(target), _identity(out)
    if not named and not (known["from"] == origin).any():
        raise UserError(
            f"Nobody has named a cell of {out} yet; `python -m wbc review {out}` asks for answers."
        )
    try:
        files = _files(named, out, run, target)
        rows = _copied(named, files, target, origin)
        table = _merged(known[known["from"] != origin], pd.DataFrame(rows, columns=list(_COLUMNS)))
        if named and table.empty:
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
    named: Sequence[Entry], files: Mapping[str, Path], target: Path, origin: str
) -> list[list[str]]:
    rows, num_gone = [], 0
    (target / "pictures").mkdir(parents=True, exist_ok=True)
    for entry in named:
        name = _picture(entry, files, target)
        if not name:
            num_gone += 1
            continue
        group = safe_text(entry.slide)
        rows.append([name, entry.label, group, entry.answer, safe_text(entry.model),
                     safe_text(entry.reviewer), entry.time, origin])  # fmt: skip
    if num_gone:
        log.warning("%d answers are left out: their pictures have gone or have changed.", num_gone)
    return rows


def _exported(entry: Entry, target: Path) -> list[Path]:
    if not entry.sha256:
        return []
    return sorted(target.glob(f"pictures/{entry.sha256[:32]}.*"))


def _files(named: Sequence[Entry], out: Path, run: Run, target: Path) -> dict[str, Path]:
    """{SHA-256: file} of the pictures that are not in `target` yet: kept in OUT, or still in DIR
    under whatever name."""
    wanted = [entry.sha256 for entry in named if not _exported(entry, target)]
    paths = {each: answered.path_of(out, each) for each in wanted}
    kept = {each: path for each, path in paths.items() if path.is_file()}
    if len(kept) == len(paths):
        return kept
    return {digest_of(path): path for path in pictures(Path(run.folder)).files.values()} | kept


def _picture(entry: Entry, files: Mapping[str, Path], target: Path) -> str:
    """The picture that was seen, in `target`: of an earlier export, or copied now; "" if gone."""
    kept = _exported(entry, target)
    if kept:
        return f"pictures/{kept[0].name}"
    path = files.get(entry.sha256)
    data = bytes_of(path) if path else None
    if path is None or data is None or sha256_of(data) != entry.sha256:
        return ""
    name = f"pictures/{entry.sha256[:32]}{path.suffix.lower()}"
    write_whole(target / name, data)
    return name


def _identity(out: Path) -> str:
    """Of a journal, which only grows, whatever its folder is called: by its first line."""
    if not (out / journal.FILE).is_file():
        return ""
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
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError):  # pandas' errors of an empty or odd file are ValueErrors
        table = pd.DataFrame()
    if list(table.columns) != list(_COLUMNS):
        raise UserError(f"{path} was not written by an export; name another folder.")
    return table
