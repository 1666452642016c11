"""Material at hand: a folder or an archive, the images in it, and their way into data/raw."""

import functools
import logging
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd
from tqdm import tqdm

from wbc import archives
from wbc.depth import check_depth
from wbc.errors import UserError
from wbc.sources.labels import wrapping

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .tif .tiff .webp .gif".split()  # noqa: SIM905
)
# Control characters, also those that turn the direction of writing, and bytes that no UTF-8 is.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WORK = ".unpacked"  # below the target, so on the same disk: files move instead of being copied

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """An open source: `folder` holds the files; `movable` if they are ours to take away."""

    folder: Path
    movable: bool


@dataclass(frozen=True)
class Listing:
    """What lies in a folder; paths are relative to it and sorted."""

    images: list[PurePosixPath] = field(default_factory=list)
    others: list[PurePosixPath] = field(default_factory=list)  # no image by its extension
    num_hidden: int = 0
    case_duplicates: list[PurePosixPath] = field(default_factory=list)


@dataclass(frozen=True)
class Cell:
    """One image of a source before it is copied; paths are relative to the material's folder."""

    path: PurePosixPath
    label: str
    group: str = ""
    official_split: str = ""
    mask: PurePosixPath | None = None


@contextmanager
def opened(setting: str, root: Path, target: Path) -> Iterator[Material]:
    """The folder behind a source's `path`, unpacked below `target` where it is an archive.

    A folder without images that holds archives (a zip in a zip, a zip in its own folder) is
    unpacked too.

    Raises:
        UserError: there is nothing at `path`, or it cannot be unpacked.
    """
    path = root / setting
    work = target / _WORK
    try:
        there = path.exists()
    except OSError as error:  # a folder above that may not be entered, or a name that is too long
        raise UserError(f"{setting} cannot be looked at ({error.strerror}); mend that.") from None
    if not there:
        raise UserError(
            f"{setting} was expected but is not there; bring it there with"
            f" `dvc import-url /your/path {setting}` (or `dvc pull` if it was imported before)."
        )
    try:
        if path.is_dir():
            material = Material(path, movable=False)
        else:
            archives.unpack(path, work / "outer")
            material = Material(work / "outer", movable=True)
        yield _unnested(material, work / "inner")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unnested(material: Material, work: Path) -> Material:
    listing = list_files(material.folder)
    inner = [path for path in listing.others if archives.is_archive(material.folder / path)]
    if listing.images or not inner:
        return material
    for number, path in enumerate(inner):
        goal = work / (path.with_suffix("") if len(inner) > 1 else path.parent)
        if goal.exists():
            raise UserError(
                f"{path} would be unpacked to where another archive was; rename one, or unpack them"
                " yourself."
            )
        archives.unpack(material.folder / path, goal)
        log.info("unpacked %s (%d of %d)", path, number + 1, len(inner))
    return Material(work, movable=True)


def list_files(folder: Path) -> Listing:
    """All files below `folder`, links followed; hidden ones are counted only.

    Of names that differ in upper and lower case only, the first in sorted order counts: the others
    would overwrite it on many file systems.

    Raises:
        UserError: a folder cannot be read, or lies too deep.
    """
    found: list[PurePosixPath] = []
    num_hidden = 0
    seen_folders: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen_folders:  # a link back up
            folders.clear()
            continue
        seen_folders.add(real)
        check_depth(Path(parent), folder)
        relative = PurePosixPath(Path(parent).relative_to(folder).as_posix())
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        num_hidden += sum(_is_hidden(name) for name in names)
        found += [relative / name for name in names if not _is_hidden(name)]
    listing = Listing(num_hidden=num_hidden)
    seen: set[str] = set()
    for path in sorted(found, key=str):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            listing.others.append(path)
            continue
        key = unicodedata.normalize("NFC", str(path)).casefold()
        (listing.case_duplicates if key in seen else listing.images).append(path)
        seen.add(key)
    return listing


def _refuse(error: OSError) -> None:
    raise UserError(
        f"the folder {error.filename} cannot be read ({error.strerror}), and what lies in it would"
        " be missing; make it readable, for example with `chmod -R u+rX`, or move it elsewhere."
    ) from None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def log_skipped(name: str, listing: Listing) -> None:
    """Say what of a source is not taken."""
    if listing.case_duplicates:
        log.warning(
            "%s: skipped %d files whose names differ from another's in case only (%s)",
            name,
            len(listing.case_duplicates),
            shorten(listing.case_duplicates),
        )
    packed = [path for path in listing.others if archives.ARCHIVE_NAME.search(path.name)]
    if packed:
        log.warning(
            "%s: %d archives beside pictures are left packed (%s); unpack those that hold cells",
            name,
            len(packed),
            shorten(packed),
        )
    if listing.others or listing.num_hidden:
        log.info(
            "%s: skipped %d files that are no images by their extension and %d hidden ones",
            name,
            len(listing.others),
            listing.num_hidden,
        )


def shorten(items: Sequence[object], most: int = 3) -> str:
    """The first few of a list, for a sentence."""
    text = ", ".join(str(item) for item in items[:most])
    return f"{text}, ..." if len(items) > most else text


def place(cells: Sequence[Cell], material: Material, target: Path, name: str) -> pd.DataFrame:
    """Bring the cells' files below `target`, unchanged, without folders that wrap all of them.

    So the same material has the same paths as a folder and as an archive. Copies, not hard links:
    DVC makes what it tracks read-only. A file that several cells share, such as a mask, is brought
    once. Returns one row a cell with path, label, group,
    official_split and mask, the paths relative to `target`.

    Raises:
        UserError: a link leads nowhere, or two files would have one name.
    """
    bring = os.replace if material.movable else shutil.copyfile
    masks = [cell.mask for cell in cells if cell.mask]
    goals = _goals([*(cell.path for cell in cells), *masks], name)

    @functools.cache
    def one(path: PurePosixPath) -> str:
        goal = target / goals[path]
        goal.parent.mkdir(parents=True, exist_ok=True)
        try:
            bring(material.folder / path, goal)
        except FileNotFoundError:
            raise UserError(
                f"source {name}: {path} is there by name only, as a link that leads nowhere; bring"
                " the file that it should lead to, or remove the link."
            ) from None
        return goals[path]

    rows = [
        {
            "path": one(cell.path),
            "label": cell.label,
            "group": cell.group,
            "official_split": cell.official_split,
            "mask": one(cell.mask) if cell.mask else "",
        }
        for cell in tqdm(cells, desc=f"copying {name}", unit=" cells", disable=None)
    ]
    return pd.DataFrame(rows, columns=["path", "label", "group", "official_split", "mask"])


def _goals(paths: Sequence[PurePosixPath], name: str) -> dict[PurePosixPath, str]:
    """Where each file goes below the target; UserError if two would go to one place."""
    num_wrapping = len(wrapping(paths))
    goals: dict[PurePosixPath, str] = {}
    first: dict[str, PurePosixPath] = {}
    for path in paths:
        goal = clean_name(str(PurePosixPath(*path.parts[num_wrapping:])))
        if first.setdefault(goal, path) != path:
            raise UserError(
                f"source {name}: a file is called {goal} and another would be, because its name is"
                " no UTF-8 or holds control characters; rename one."
            )
        goals[path] = goal
    return goals


def clean_name(name: str) -> str:
    """The name as one line that UTF-8 can hold: other bytes and control characters become %XX."""
    return _ODD.sub(_escaped, name)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is no UTF-8
        return f"%{code - 0xDC00:02X}"
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
