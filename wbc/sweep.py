"""`make sweep`: a small grid of settings as DVC experiments, ranked on validation.

An experiment is named by its settings (`learning_rate=0.001,dropout=0.2`), so the same grid on the
same commit goes on where it was stopped and runs nothing twice. Nothing here touches the
workspace: DVC runs each experiment in a copy of its own.
"""

import itertools
import json
import logging
import math
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wbc import params, sweep_table
from wbc.errors import UserError
from wbc.lineage import experiments
from wbc.profiles import merged
from wbc.sweep_names import short_names, value_name
from wbc.tracking import sweep as tracking_sweep
from wbc.tracking.store import Store

log = logging.getLogger(__name__)

MAX_POINTS: Final = 1_000  # each is minutes of work at least
POLL_SECONDS: Final = 5.0  # asking DVC costs about a second of one core
_MAX_RESTARTS: Final = 3  # of workers that ended while experiments were waiting
_PATIENCE: Final = 6  # polls without any worker before a running experiment counts as lost


@dataclass(frozen=True)
class Point:
    """One experiment of the grid."""

    name: str
    settings: dict[str, str]  # key of params.yaml -> value as it is written there


def run(repository: Path, grid: str, jobs: int) -> None:
    """Run every combination of `grid` that has no result yet, `jobs` at a time, and rank all.

    Raises:
        UserError: the grid is impossible or the tree is not committed, both before any work; or
            experiments failed or have lost their results, after the table of the others.
    """
    points = parse(grid)
    check(repository / "params.yaml", points)
    commit = experiments.starting_point(repository)
    there = experiments.finished(repository)
    new = [point for point in points if point.name not in there]
    known = f", {len(points) - len(new)} of them there already" if len(new) < len(points) else ""
    log.info("%d experiments on commit %s%s, %d at a time", len(points), commit[:8], known, jobs)
    failed = _run(repository, new, jobs) if new else []
    done = [point for point in points if point.name not in failed]
    store = tracking_sweep.connect(repository)
    rows: list[sweep_table.Row] = []
    lost: list[str] = []
    for point in done:
        try:
            rows += read(repository, point, store)
        except FileNotFoundError:
            lost.append(point.name)
    if rows:
        log.info("%s", sweep_table.report(rows))
    if failed:
        raise UserError(_failure(repository, failed, len(points)))
    if lost:
        raise UserError(
            f"DVC's cache has lost the results of {len(lost)} of {len(points)} experiments, as"
            f" after `dvc gc`; type: dvc exp remove {' '.join(lost)}, and then the same sweep,"
            " which runs them again."
        )


def parse(grid: str) -> list[Point]:
    """`train.epochs=5,10 seed=1,2` -> four points, in the order in which they are written.

    Raises:
        UserError: a word that is not KEY=VALUE,VALUE, or a key or a value that is named twice.
    """
    axes: dict[str, list[str]] = {}
    for word in grid.split():
        key, equals, values = word.partition("=")
        listed = _split(values)
        if not (key and equals and all(listed)) or key in axes:
            raise UserError(
                f"The grid should be settings of params.yaml, each once and with its values, such"
                f" as 'train.learning_rate=0.0005,0.001 train.unfreeze=upper,all', but it holds"
                f" {word!r}."
            )
        axes[key] = listed
    if not axes:
        raise UserError(
            "The grid is empty; name settings of params.yaml and their values, such as"
            " make sweep GRID='train.learning_rate=0.0005,0.001'"
        )
    num_points = math.prod(map(len, axes.values()))
    if num_points > MAX_POINTS:
        raise UserError(
            f"The grid should have {MAX_POINTS:,} combinations at most, but it has {num_points:,};"
            " give fewer values."
        )
    short = short_names(list(axes))
    points = []
    for chosen in itertools.product(*axes.values()):
        settings = dict(zip(axes, chosen, strict=True))
        parsed = {key: params.read_yaml(text, f"{key}={text}") for key, text in settings.items()}
        name = ",".join(f"{short[key]}={value_name(value)}" for key, value in parsed.items())
        points.append(Point(name, settings))
    name, times = Counter(point.name for point in points).most_common(1)[0]
    if times > 1:
        raise UserError(
            f"Each experiment of the grid should be another one, but {name} is in it {times} times;"
            " write each value of a setting once (0.1 and .1 are one)."
        )
    return points


def check(path: Path, points: Sequence[Point]) -> None:
    """Every combination, as params.yaml would hold it, is one that the pipeline can run.

    Raises:
        UserError: names the first setting that is unknown or impossible.
    """
    if not path.is_file():
        raise UserError("params.yaml is missing; run the sweep in the repository's root.")
    old = params.read_yaml(path.read_text(encoding="utf-8"), path.name)
    for point in points:
        new: Any = old
        for key, text in point.settings.items():
            value = params.read_yaml(text, f"{key}={text}")
            for name in reversed(key.split(".")):
                value = {name: value}
            new = merged(new, value)
        params.check(new, f"params.yaml with {point.name}")


def read(repository: Path, point: Point, store: Store | None) -> list[sweep_table.Row]:
    """The validation scores of an experiment, a row for each of its networks.

    Raises:
        FileNotFoundError: DVC's cache has no longer what it made.
    """
    results = experiments.Results(repository, point.name)
    settings = params.read_yaml(results.text("params.yaml"), "params.yaml")
    short = short_names(list(point.settings))
    shown = {short[key]: value for key, value in point.settings.items()}
    rows = []
    for architecture in settings["architectures"]:
        metrics = json.loads(results.text(f"reports/{architecture}/metrics.json"))
        with tempfile.TemporaryDirectory() as scratch:
            for name in ("model.json", "model.safetensors"):
                results.copy(f"models/{architecture}/{name}", Path(scratch) / name)
            card = json.loads((Path(scratch) / "model.json").read_text(encoding="utf-8"))
            version = tracking_sweep.version_of(store, Path(scratch))
        score = metrics["val"]["macro_f1"]
        limits = (score["low"], score["high"])
        row = sweep_table.Row(
            point.name, shown, architecture, card["start"], score["value"], *limits, version
        )
        rows.append(row)
    return rows


def _run(repository: Path, points: Sequence[Point], jobs: int) -> list[str]:
    """Queue the points and wait for them; returns the names of those that failed."""
    names = [point.name for point in points]
    experiments.forget(repository, names)  # what an earlier sweep left there
    running = experiments.queue(repository).open(names)  # still, after that sweep was killed
    try:
        for point in points:
            if point.name not in running:
                experiments.enqueue(repository, point.name, point.settings)
        experiments.start_workers(repository, jobs)
        return _wait(repository, names, jobs)
    except KeyboardInterrupt:
        experiments.stop(repository, names)
        done = len(experiments.finished(repository) & set(names))
        log.info(
            "\nStopped: %d of %d experiments have finished, the others are out of the queue. The"
            " same command goes on with them; `dvc exp show` lists what is there.",
            done,
            len(names),
        )
        raise


def _wait(repository: Path, names: Sequence[str], jobs: int) -> list[str]:
    """Look at the queue until nothing of `names` waits or runs.

    Not `dvc exp run --run-all`, which with two workers now and then waits for ever for one that has
    finished; and workers that are gone are replaced.
    """
    seen: dict[str, str] = {}
    restarts = idle = 0
    begin = time.monotonic()
    while True:
        now = experiments.queue(repository)
        for name in names:
            state = now.states.get(name, "Failed")
            if state != seen.get(name, "Queued"):
                seen[name] = state
                log.info("%4d s  %-8s %s", time.monotonic() - begin, state.lower(), name)
        waiting = now.open(names)
        if not waiting:
            return [name for name in names if now.states.get(name, "Failed") == "Failed"]
        idle = 0 if now.workers else idle + 1
        if idle >= _PATIENCE:
            if restarts == _MAX_RESTARTS:
                experiments.stop(repository, names)
                raise UserError(
                    f"DVC's workers end without running {', '.join(waiting)}; see"
                    " `dvc queue status` and .dvc/tmp/exps/celery, then try again."
                )
            experiments.stop(repository, [n for n in waiting if now.states[n] == "Running"])
            experiments.start_workers(repository, jobs)
            restarts, idle = restarts + 1, 0
        time.sleep(POLL_SECONDS)


def _failure(repository: Path, failed: Sequence[str], total: int) -> str:
    reasons = [f"{name}: {reason(experiments.log(repository, name))}" for name in failed]
    return (
        f"{len(failed)} of {total} experiments failed. {' '.join(reasons)} All that one printed:"
        f" dvc queue logs {failed[0]}"
    )


def reason(printed: str) -> str:
    """Why an experiment failed: the stage's own sentence, else DVC's, else the last line."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    for mark in (r"error: ", r"\w*(Error|Exception|Interrupt)\b", r"ERROR: "):
        found = [line for line in lines if re.match(mark, line)]
        if found:
            return re.sub(r"^(error|ERROR): ", "", found[-1]).rstrip(".") + "."
    return (lines[-1].rstrip(".") if lines else "it was stopped, or printed nothing") + "."


def _split(values: str) -> list[str]:
    """Part at the commas that are not inside brackets: "[1,2],[3]" -> "[1,2]", "[3]"."""
    return [part.strip() for part in re.split(r",(?![^\[]*\])", values)]
