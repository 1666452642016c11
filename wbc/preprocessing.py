"""From image files to the pixel store: on all cores or a cluster, in memory that does not grow."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tqdm import tqdm

from wbc.cells import write_table
from wbc.decoding import UnreadableImage
from wbc.errors import UserError
from wbc.imaging import Framing, prepare
from wbc.params import Preprocess
from wbc.pixels import Place, allocate, finish, write_cells
from wbc.spreading import SOFTWARE, Software, check_worker, workers

log = logging.getLogger(__name__)

CHUNK = 32  # cells a task: small enough for a lively progress bar, large enough to be cheap
QUARANTINE_FILE = "quarantine.csv"
UNREADABLE = "unreadable: "  # how split.csv begins the reason of a file that could not be decoded


@dataclass(frozen=True)
class Cell:
    """One task's entry: paths relative to the raw folder, and the place in the store."""

    path: str
    mask: str
    place: Place


@dataclass(frozen=True)
class Job:
    """What all tasks share. Folders are absolute: a worker may run in another one."""

    raw_dir: Path
    target: Path
    settings: Preprocess
    software: Software  # of the process that sends the tasks


@dataclass(frozen=True)
class Written:
    """What became of a cell: `problem` is "" where its pixels are in the store."""

    located: bool
    problem: str


def fill_store(
    cells: pd.DataFrame, raw_dir: Path, target: Path, settings: Preprocess
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode, crop and store every cell that has a split, on `settings.backend`.

    Args:
        cells: the table of split.csv.

    Returns:
        The index and the quarantine list (path, split, reason), as written to `target`; the list
        is there before anything is raised.

    Raises:
        UserError: more than `max_broken_share` of all files are broken, a class of the training
            set is left without a cell, an evaluation set is left empty, or the backend's workers
            cannot do the work.
    """
    wanted = cells[cells["split"] != ""].sort_values(["split", "path"]).reset_index(drop=True)
    places = allocate(target, len(wanted), settings.input_size, settings.shard_cells)
    tasks = [
        Cell(path, mask, place)
        for path, mask, place in zip(wanted["path"], wanted["mask"], places, strict=True)
    ]
    results = _run(tasks, Job(raw_dir.absolute(), target.absolute(), settings, SOFTWARE))
    index = wanted.drop(columns=["reason"]).assign(
        shard=[place[0] for place in places],
        row=[place[1] for place in places],
        located=[result.located for result in results],
    )
    problems = pd.Series([result.problem for result in results], dtype=str)
    index, broken = index[problems == ""], wanted[problems != ""]
    quarantine = _quarantine(cells, broken.assign(reason=problems[problems != ""]))
    write_table(quarantine, target / QUARANTINE_FILE)
    _check_share(quarantine, len(cells), settings)
    _check_sets(wanted, index, target / QUARANTINE_FILE)
    finish(target, index, framing_of(settings).settings())
    _report(index, quarantine, settings)
    return index, quarantine


def framing_of(settings: Preprocess) -> Framing:
    """What params.yaml wants of every picture."""
    return Framing(settings.input_size, settings.crop, settings.context)


def _run(tasks: list[Cell], job: Job) -> list[Written]:
    chunks = (delayed(_write_chunk)(tasks[i : i + CHUNK], job) for i in range(0, len(tasks), CHUNK))
    results: list[Written] = []
    with (
        workers(job.settings.backend, len(tasks)) as num_jobs,
        tqdm(total=len(tasks), desc="preprocess", unit="cell", disable=None) as bar,
    ):
        for written in Parallel(n_jobs=num_jobs, return_as="generator")(chunks):
            results.extend(written)
            bar.update(len(written))
    return results


def _write_chunk(chunk: list[Cell], job: Job) -> list[Written]:
    check_worker(job.software, job.raw_dir, job.target)
    with _one_thread():
        written, squares = _prepare_chunk(chunk, job)
    write_cells(job.target, squares)
    return written


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch's other threads wait for the next picture in a busy loop: twice the CPU time."""
    import torch  # here, in the workers: the process that starts them never needs it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _prepare_chunk(
    chunk: list[Cell], job: Job
) -> tuple[list[Written], list[tuple[Place, NDArray[np.uint8]]]]:
    framing = framing_of(job.settings)
    written, squares = [], []
    for cell in chunk:
        try:
            mask = _mask_of(cell, job.raw_dir) if framing.crop == "mask" else None
            square = prepare((job.raw_dir / cell.path).read_bytes(), framing, mask)
        except UnreadableImage as error:
            written.append(Written(located=False, problem=str(error)))
        except OSError as error:  # its own text would name an absolute path
            written.append(Written(located=False, problem=error.strerror or "cannot be read"))
        else:
            written.append(Written(square.located, ""))
            squares.append((cell.place, square.pixels))
    return written, squares


def _mask_of(cell: Cell, raw_dir: Path) -> bytes:
    if not cell.mask:
        raise UnreadableImage("has no mask, which preprocess.crop: mask needs")
    return (raw_dir / cell.mask).read_bytes()


def _quarantine(cells: pd.DataFrame, broken: pd.DataFrame) -> pd.DataFrame:
    """Files that split could not decode, and those that failed here."""
    earlier = cells[cells["reason"].str.startswith(UNREADABLE)]
    earlier = earlier.assign(reason=earlier["reason"].str.removeprefix(UNREADABLE))
    both = pd.concat([earlier, broken])[["path", "split", "reason"]]
    return both.sort_values("path").reset_index(drop=True)


def _check_share(quarantine: pd.DataFrame, num_files: int, settings: Preprocess) -> None:
    share = len(quarantine) / max(1, num_files)
    if share > settings.max_broken_share:
        first = quarantine.iloc[0]
        raise UserError(
            f"{len(quarantine)} of {num_files} files ({share:.1%}) cannot be used, more than"
            f" preprocess.max_broken_share {settings.max_broken_share:g} allows; the first is"
            f" data/raw/{first['path']} ({first['reason']}). Replace the files, or raise the share."
        )


def _check_sets(wanted: pd.DataFrame, index: pd.DataFrame, list_path: Path) -> None:
    """What split has seen to must not be undone here: nothing could be trained or compared."""
    kept = set(index["split"])
    lost = [f"the set {name} has no cell" for name in sorted(set(wanted["split"]) - kept)]
    if not lost:
        wanted, index = (table[table["split"] == "train"] for table in (wanted, index))
        missing = sorted(set(wanted["label"]) - set(index["label"]))
        lost = [f"the training set has no {name}" for name in missing]
    if lost:
        raise UserError(
            f"After quarantine {' and '.join(lost)}, since none of its files can be used;"
            f" {list_path} says why for each. Replace the files, or take the source out of"
            " data.sources."
        )


def _report(index: pd.DataFrame, quarantine: pd.DataFrame, settings: Preprocess) -> None:
    for row in quarantine.itertuples():
        log.warning("quarantined %s: %s", row.path, row.reason)
    log.info("%d cells stored, %d files quarantined", len(index), len(quarantine))
    if settings.crop != "none" and len(index):
        lost = int((~index["located"]).sum())
        log.info("no leukocyte found in %d of %d: stored whole", lost, len(index))
