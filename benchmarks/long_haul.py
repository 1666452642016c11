"""Many small experiments in a row: do disk, memory, database and start-up time stay bounded?

    python -m benchmarks.long_haul [--experiments 200] [--every 20] [--work DIR]

Works in a temporary copy of this repository with a few drawn cells. Each experiment is another
learning rate and a `dvc repro` of it, committed, so that DVC keeps every one. At the end
`python -m wbc clean --yes --keep-last 10 --tips` frees what no version with an alias, none of the
newest ten and no newest commit needs, and a last row shows what is left. With --work, which is
kept, the same command goes on where it was stopped.

Most experiments' stages are forks of one process, as in the tests (tests/preforked): *seconds* of
one. Each row's last experiment and its `wbc list` are processes of their own, as a user's are:
*memory* is the peak of RssAnon of that `dvc repro` and what it starts, *repro* its time, *start*
that of `python -m wbc list`. *database*: mlruns/mlflow.db. Exit status 1 if a row's memory, repro
or start is more than half above the first one's, or disk or database grow faster in the last
quarter than in the first.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cgroup import Peak, measure
from tests.pipeline.conftest import (
    SMALL,
    Repository,
    commit,
    environment_of,
    make_repository,
    set_params,
)

TINY = SMALL | {
    "data.sources[0].num_cells": 200,
    "preprocess.input_size": 32,
    "train.epochs": 1,
    "train.head_epochs": 0,
}
HEADER = (
    "| experiments | seconds each | repro, s | memory, MB | start, s | database, MB | mlruns, MB"
    " | DVC's cache, MB | scratch, MB | runs | versions |\n" + "|---:" * 11 + "|"
)
SLACK = 1.5
BEGUN = "small"
REPRO = (sys.executable, "-m", "dvc", "repro")


@dataclass(frozen=True)
class Row:
    """After `number` experiments; `seconds` of one fork's, `repro` and `start` of real processes,
    sizes in bytes."""

    number: int
    seconds: float
    repro: float
    memory: int
    start: float
    database: int
    mlruns: int
    cache: int
    scratch: int
    runs: int
    versions: int

    def __str__(self) -> str:
        sizes = (self.database, self.mlruns, self.cache, self.scratch)
        megabytes = " | ".join(f"{size / 1e6:.1f}" for size in sizes)
        return (
            f"| {self.number} | {self.seconds:.1f} | {self.repro:.1f} | {self.memory / 1e6:.0f}"
            f" | {self.start:.1f} | {megabytes} | {self.runs} | {self.versions} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--every", type=int, default=20, help="experiments a row")
    parser.add_argument("--work", type=Path, help="kept; a temporary folder by default")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # what stages are given here; else none of them is a fork
    if options.experiments < 4 * options.every:
        parser.error("--experiments must be at least four times --every, to see how growth goes on")
    print(HEADER, flush=True)
    with folder(options.work) as work:
        repository, rows = begin(work)
        for row in rows:
            print(row, flush=True)
        for row in experiments(repository, options.experiments, options.every):
            print(row, flush=True)
            rows.append(row)
            rows_of(work).write_text(json.dumps([asdict(each) for each in rows]), encoding="utf-8")
        clean = ("clean", "--yes", "--keep-last", "10", "--tips")
        repository.run("python", "-m", "wbc", *clean)
        nothing = Peak(0, "", 0.0, 0, None)
        print(f"{row_of(repository, options.experiments, 0, nothing)} cleaned", flush=True)
    problems = list(unbounded(rows))
    sys.exit(f"error: {'; '.join(problems)}" if problems else 0)


@contextlib.contextmanager
def folder(work: Path | None) -> Iterator[Path]:
    if work:
        work.mkdir(parents=True, exist_ok=True)
        yield work.resolve()
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def begin(work: Path) -> tuple[Repository, list[Row]]:
    """A new repository, or one that was stopped, and the rows that it had."""
    if (work / ".git").is_dir():
        rows = json.loads(rows_of(work).read_text(encoding="utf-8"))
        return Repository(work, environment_of(work)), [Row(**row) for row in rows]
    repository = make_repository(work)
    set_params(work, TINY)
    commit(repository, BEGUN)
    rows_of(work).write_text("[]", encoding="utf-8")
    return repository, []


def rows_of(work: Path) -> Path:
    return work / ".git" / "long_haul.json"


def num_done(repository: Repository) -> int:
    subject = repository.run("git", "log", "-1", "--format=%s").strip()
    return 0 if subject == BEGUN else int(subject.removeprefix("experiment "))


def experiments(repository: Repository, count: int, every: int) -> Iterator[Row]:
    """A row after every so many."""
    seconds: list[float] = []
    for number in range(num_done(repository) + 1, count + 1):
        set_params(repository.path, {"train.learning_rate": round(1e-4 + 1e-6 * number, 7)})
        if number % every and number not in (1, count):
            start = time.perf_counter()
            repository.run("dvc", "repro")
            seconds.append(time.perf_counter() - start)
            commit(repository, f"experiment {number}")
            continue
        peak = measured_repro(repository.real())
        commit(repository, f"experiment {number}")
        yield row_of(repository, number, statistics.median(seconds or [peak.seconds]), peak)
        seconds = []


def measured_repro(repository: Repository) -> Peak:
    """Ends the program where it fails."""
    words = [f"{name}={value}" for name, value in repository.environment.items()]
    peak = measure(["env", "-C", str(repository.path), *words, *REPRO], None)
    if peak.status:
        sys.exit(f"error: dvc repro ended with {peak.status}: {peak.output[-2000:]}")
    return peak


def row_of(repository: Repository, number: int, seconds: float, peak: Peak) -> Row:
    path, started = repository.path, time.perf_counter()
    repository.real().run("python", "-m", "wbc", "list")
    start = time.perf_counter() - started
    return Row(
        number,
        seconds,
        peak.seconds,
        peak.anonymous,
        start,
        (path / "mlruns" / "mlflow.db").stat().st_size,
        size(path / "mlruns"),
        size(path / ".dvc" / "cache"),
        size(path / "scratch"),
        len(repository.runs()),
        len(repository.versions()),
    )


def size(folder: Path) -> int:
    """What `du` counts, in bytes: a file with several names once."""
    if not folder.exists():
        return 0
    said = subprocess.run(["du", "-sk", folder], capture_output=True, check=True, text=True).stdout
    return 1024 * int(said.split()[0])


def unbounded(rows: Sequence[Row]) -> Iterator[str]:
    """What grew; the first row, which has the whole pipeline in it, is left out."""
    first, last = rows[1], rows[-1]
    if last.memory > SLACK * first.memory:
        yield f"memory grew from {first.memory} to {last.memory} bytes"
    if last.repro > SLACK * first.repro:
        yield f"a repro's time grew from {first.repro:.1f} to {last.repro:.1f} s"
    if last.start > SLACK * first.start + 1:
        yield f"start-up grew from {first.start:.1f} to {last.start:.1f} s"
    quarter = max(1, len(rows) // 4)
    for name in ("database", "mlruns", "cache", "scratch"):
        early = rate(rows[1], rows[1 + quarter], name)
        late = rate(rows[-1 - quarter], rows[-1], name)
        if late > SLACK * max(early, 0.0) + 10_000:
            yield f"{name} grows by {late:.0f} bytes an experiment, at first by {early:.0f}"


def rate(before: Row, after: Row, name: str) -> float:
    """Bytes an experiment."""
    grown = float(getattr(after, name) - getattr(before, name))
    return grown / max(1, after.number - before.number)


if __name__ == "__main__":
    main()
