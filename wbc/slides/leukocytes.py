"""Slides of whole fields: the pictures of each leukocyte in OUT, made while the first model judges.

A run writes them aside, so those of the run before stay until all of the new ones are there.
"""

import json
import logging
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pandas as pd

from wbc.decoding import UnreadableImage, decode
from wbc.digests import digest_of, sha256_of
from wbc.disk import replace_folder, write_whole
from wbc.errors import UserError
from wbc.predicting.kept import CUT, SEEN, Keeping, cell_name
from wbc.reviewing import answered
from wbc.slides.pictures import Pictures, prefix_of

log = logging.getLogger(__name__)

FOLDER: Final = "leukocytes"  # in OUT
_STAGING: Final = ".leukocytes-unfinished"
_CELL: Final = re.compile(r"(.+)\.([1-9]\d*)\.png", re.DOTALL)  # as by `cell_name`
_RECORD: Final = "made-with.json"  # what must be the same for the pictures to be

Same = Mapping[str, Any]


def are_kept(out: Path, same: Same, rows: pd.DataFrame) -> bool:
    """Whether the pictures of all cells in `rows` are there, made with the same; a warning says how
    many are missing."""
    if not _is_of(out / FOLDER, same):
        return False
    names = rows["path"][rows["cell"] > 0]
    paths = [out / FOLDER / kind / name for kind in (CUT, SEEN) for name in names]
    num_missing = sum(not path.is_file() for path in paths)
    if num_missing:
        log.warning("Pictures of cells in %s: %d have gone, so all are cut and judged again.",
                    out / FOLDER, num_missing)  # fmt: skip
    return num_missing == 0


def are_begun(out: Path, same: Same) -> bool:
    """Whether a run with the same was stopped."""
    return _is_of(out / _STAGING, same)


def begin(out: Path, fields: Path, same: Same, anew: bool) -> Keeping:
    """The folder to write to; anew: without what a stopped run left there."""
    staging = out / _STAGING
    if anew:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        write_whole(staging / _RECORD, json.dumps(same).encode())
    return Keeping(staging, prefix_of(fields))


def finish(out: Path) -> None:
    """All pictures are written: they take the place of those before.

    A person's answers know a picture by its bytes. So those that were answered stay, and a cell
    whose pixels have not changed keeps its file to the byte, whatever its number in its field is
    now and however PNGs are packed.
    """
    cut = out / FOLDER / CUT
    answered.keep_all(out, cut)
    _carry_over([cut, out / answered.FOLDER], out / _STAGING / CUT)
    replace_folder(out / FOLDER, out / _STAGING)


def _carry_over(sources: Sequence[Path], target: Path) -> None:
    """A picture in `target` with the pixels of one in `sources` gets its bytes."""
    before = {digest_of(path): path for folder in sources for path in folder.rglob("*.png")}
    now = {path: digest_of(path) for path in target.rglob("*.png")}
    changed = [path for path, digest in now.items() if digest not in before]
    if not changed:
        return
    left = [before[digest] for digest in before.keys() - set(now.values())]
    by_pixels = {digest: path for path in left if (digest := _pixels_digest(path))}
    for path in changed:
        same = by_pixels.get(_pixels_digest(path))
        if same:
            write_whole(path, same.read_bytes())


def _pixels_digest(path: Path) -> str:
    """Of what is decoded, not of how it is packed; "" where the file cannot be read."""
    try:
        pixels = decode(path.read_bytes())
    except (OSError, UnreadableImage):
        return ""
    return sha256_of(repr(pixels.shape).encode() + pixels.tobytes())


def check_names(fields: Iterable[str]) -> None:
    """Raises UserError where a field, or a folder of fields, is called as another one's cell is."""
    known = set(fields)
    folders = {str(parent) for name in known for parent in PurePosixPath(name).parents}
    for name in sorted(known | folders):
        found = _CELL.fullmatch(name)
        if found and found[1] in known and cell_name(found[1], int(found[2])) == name:
            raise UserError(
                f"{name} is called as cell {found[2]} of the field {found[1]} is, so they could not"
                " be told apart; rename or move one of them."
            )


def of_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `predict --fields` by cell: `path` is the cell's name, `field` the field's; a field
    without a cell keeps its name."""
    numbers = rows["cell"].fillna(0).astype(int)
    names = [
        cell_name(field, number) if number else field
        for field, number in zip(rows["path"], numbers, strict=True)
    ]
    cut = rows["cut"] == True  # noqa: E712 - None is not cut
    return rows.assign(field=rows["path"], path=names, cell=numbers, cut=cut)


def pictures_of(rows: pd.DataFrame, out: Path, fields: Pictures) -> Pictures:
    """The cells of these rows as pictures that there are."""
    names = rows["path"][rows["cell"] > 0]
    cut, seen = out / FOLDER / CUT, out / FOLDER / SEEN
    files = {name: cut / name for name in names if (cut / name).is_file()}
    squares = {name: seen / name for name in files}
    return Pictures(cut, files, fields.digest, squares)


def _is_of(folder: Path, same: Same) -> bool:
    try:
        return bool(json.loads((folder / _RECORD).read_text(encoding="utf-8")) == same)
    except (OSError, ValueError, RecursionError):
        return False
